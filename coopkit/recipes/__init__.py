"""Recipes: one TOML file that says all of a run, its tables, and the packaged ones."""

from coopkit.recipes.recipe import KEYS, Recipe, packaged_recipes

__all__ = ["KEYS", "Recipe", "packaged_recipes"]
