"""The parts of pages that scripts measure."""

from measured import write_part


def test_a_measured_part_replaces_what_stood_there(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- x: begin -->\nold\n<!-- x: end -->\nafter\n", encoding="utf-8")
    write_part(page, "x", "new\n")
    expected = "before\n<!-- x: begin -->\nnew\n<!-- x: end -->\nafter\n"
    assert page.read_text(encoding="utf-8") == expected
