"""What one does with a trained pair."""
