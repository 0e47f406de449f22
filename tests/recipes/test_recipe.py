from pathlib import Path

import pytest

from coopkit.data import DIGITS, PHOTOGRAPHS
from coopkit.errors import RecipeError
from coopkit.recipes import Recipe, packaged_recipes

TINY = Path(__file__).parents[1] / "tiny" / "cooperative.toml"


def problems_of(*overrides: str, source: str | Path = TINY) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        Recipe.read(source, overrides)
    return list(caught.value.problems)


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", packaged_recipes())
def test_packaged_recipe_is_right(name: str):
    text = packaged_recipes()[name]
    needs_source = "\nsource = " not in text
    recipe = Recipe.read(name, ["data.source=brick"] if needs_source else [])
    assert recipe.run.iterations > 0
    assert text.startswith("# ")


@pytest.mark.parametrize("name", packaged_recipes())
@pytest.mark.parametrize("last", [False, True])
def test_settings_exist_at_both_ends_of_a_packaged_recipe(name: str, last: bool):
    recipe = Recipe.read(name, ["data.source=brick"])
    recipe.settings(recipe.run.iterations - 1 if last else 0)


def test_recipe_without_source_says_so(tmp_path: Path):
    path = write(tmp_path, TINY.read_text().replace('source = "brick"\n', ""))
    assert problems_of(source=path) == ["data.source is missing; it must be a text"]


def test_error_names_the_file():
    with pytest.raises(RecipeError, match=r"tiny/cooperative\.toml: revision\.step_sise is no key"):
        Recipe.read(TINY, ["revision.step_sise=1"])


def test_every_problem_of_a_file_is_told_at_once():
    problems = problems_of(
        "revison.steps=3",
        "run.chains=0",
        "data.crop=centre",
        "descriptor.filters=8",
        "descriptor.optimizer.lr=-1",
        "revision.sampler=langvin",
        "seed=-1",
    )
    opening = [problem.split(" ")[0] for problem in problems]
    assert sorted(opening) == [
        "data.crop",
        "descriptor.filters",
        "descriptor.optimizer.lr",
        "revision.sampler",
        "revison",
        "run.chains",
        "seed",
    ]


def test_wrong_algorithm_does_not_hide_other_problems():
    problems = problems_of("algorithm=cooprative", "run.chains=0")
    assert "did you mean 'cooperative'?" in problems[0]
    assert problems[1] == "run.chains must be >= 1: 0"


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("descriptor.optimizer.name=Adamm", "no optimiser 'Adamm'; did you mean 'Adam'?"),
        ("generator.optimizer.betaz=[0, 1]", "Adam takes no 'betaz'; did you mean 'betas'?"),
        ("generator.optimizer.betas=[0.5, 2.0]", "Adam refuses its arguments"),
        ("generator.optimizer=3", "generator.optimizer must be a table, not 3"),
        ("generator=3", "generator must be a table, not 3"),
        ("descriptor.architecture=textur", "did you mean 'texture'?"),
        ("descriptor.kernels=[3, 3]", "must be equally long, not 1, 2 and 1"),
        ("data.crops=3", 'data has crops = 3, which needs crop = "random"'),
        ("data.resize=0", "data.resize must be >= 1: 0"),
        ("run.iterations={schedule='constant', at=3}", "is the same throughout a run"),
    ],
)
def test_problem_is_told_in_a_sentence(override: str, sentence: str):
    extra = ["data.crop=center"] if "crops" in override else []
    (problem,) = problems_of(override, *extra)
    assert sentence in problem


def test_learning_rate_is_checked_along_its_schedule():
    lr = 'generator.optimizer.lr={schedule="linear", start=0.1, end=-0.1}'
    assert "at iteration 3 of its schedules: Adam refuses" in problems_of(lr)[0]


def test_missing_table(tmp_path: Path):
    text = TINY.read_text().replace("[revision]\nsteps = 2\nstep_size = 0.01\n", "")
    problems = problems_of(source=write(tmp_path, text))
    assert problems == ['revision is missing; algorithm = "cooperative" needs this table']


def test_useless_table():
    problems = problems_of("algorithm=descriptor")
    assert 'generator is of no use to algorithm = "descriptor"; remove the table' in problems


def test_no_such_file_suggests_a_packaged_name():
    with pytest.raises(RecipeError, match=r"no such file .* did you mean 'quickstart'\?"):
        Recipe.read("quikstart")


def test_broken_toml_is_located(tmp_path: Path):
    with pytest.raises(RecipeError, match=r"mine\.toml: this is not TOML: .* line 1"):
        Recipe.read(write(tmp_path, "seed = = 1"))


def test_a_mark_that_editors_put_before_a_text_is_none_of_it(tmp_path: Path):
    path = write(tmp_path, TINY.read_text(encoding="utf-8"))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert Recipe.read(path) == Recipe.read(TINY)


def test_one_override_may_stand_alone():
    assert Recipe.read(TINY, "run.iterations=3").run.iterations == 3


def test_file_that_is_no_text(tmp_path: Path):
    path = tmp_path / "photo.toml"
    path.write_bytes(b"\x89PNG\xff")
    with pytest.raises(RecipeError, match="cannot be read as a text"):
        Recipe.read(path)


def test_folder_is_no_recipe(tmp_path: Path):
    with pytest.raises(RecipeError, match="this is a folder"):
        Recipe.read(tmp_path)


def test_overrides_are_toml_or_bare_words():
    recipe = Recipe.read(TINY, ["revision.step_size=0.5", "data.source=grass", "seed = 7"])
    assert recipe.settings(0).revision.step_size == 0.5
    assert (recipe.data.source, recipe.seed) == ("grass", 7)


def test_override_of_a_whole_table():
    recipe = Recipe.read(TINY, ['descriptor.optimizer={name="SGD", lr=0.1}'])
    assert recipe.descriptor.optimizer.table.name == "SGD"


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("seed", "--set seed must be --set table.key=value"),
        ("=3", "--set =3 must be --set table.key=value"),
        ("run..chains=3", "--set run..chains=3 must be --set table.key=value"),
        ("seed.low=3", "seed.low cannot be set: 'seed' is not a table"),
    ],
)
def test_malformed_override(override: str, sentence: str):
    assert sentence in problems_of(override)


def test_all_malformed_overrides_are_told_at_once():
    assert len(problems_of("foo", "bar")) == 2


def test_schedule_extends_over_the_run_unless_told_otherwise():
    size = 'revision.step_size={schedule="linear", start=0.1, end=0.3'
    recipe = Recipe.read(TINY, [size + "}", "run.iterations=8"])
    assert recipe.settings(4).revision.step_size == pytest.approx(0.2)
    recipe = Recipe.read(TINY, [size + ", iterations=2}", "run.iterations=8"])
    assert recipe.settings(4).revision.step_size == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("table", "key", "start"),
    [
        ("revision", "steps", 2),
        ("revision", "temperature", 1.0),
        ("inference", "step_size", 0.1),
        ("draft", "noise_std", 0.1),
        ("shift", "score_penalty", 0.1),
        ("reconstruction", "updates", 1),
        ("descriptor.optimizer", "lr", 0.1),
        ("descriptor.optimizer", "cap", 0.1),
        ("generator.optimizer", "lr", 0.1),
        ("generator.optimizer", "weight_decay", 0.1),
    ],
)
def test_any_number_that_may_change_may_be_a_schedule(table: str, key: str, start: float):
    schedule = f'{{schedule="linear", start={start}, end={2 * start}}}'
    plain = Recipe.read(TINY, [f"{table}.{key}={start}"])
    scheduled = Recipe.read(TINY, [f"{table}.{key}={schedule}"])
    assert scheduled.settings(0) == plain.settings(0)
    if table.endswith("optimizer"):
        part = getattr(scheduled, table.split(".")[0]).optimizer
        assert part.at(4) != part.at(0)
    else:
        assert scheduled.settings(4) != scheduled.settings(0)


@pytest.mark.parametrize("name", ["cooperative", "descriptor", "generator"])
def test_resolved_recipe_reads_back_to_the_same(tmp_path: Path, name: str):
    lr = {"generator": "generator", "descriptor": "descriptor"}.get(name, "generator")
    schedule = f'{lr}.optimizer.lr={{schedule="cosine", start=0.1, end=1e-17}}'
    recipe = Recipe.read(TINY.with_name(f"{name}.toml"), [schedule])
    again = Recipe.read(write(tmp_path, recipe.to_toml()))
    assert again == recipe
    assert again.to_toml() == recipe.to_toml()


@pytest.mark.parametrize("name", packaged_recipes())
def test_resolved_packaged_recipe_reads_back_to_the_same(tmp_path: Path, name: str):
    recipe = Recipe.read(name, ["data.source=brick"])
    assert Recipe.read(write(tmp_path, recipe.to_toml())) == recipe


def test_resolved_recipe_has_every_key(tmp_path: Path):
    text = Recipe.read(TINY).to_toml()
    assert 'mixed_precision = "auto"' in text
    assert "temperature = 1.0" in text
    assert 'sampler = "langevin"' in text


def test_resolved_source_means_the_same_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    assert Recipe.read(TINY, ["data.source=photos"]).raw["data"]["source"] == str(
        tmp_path / "photos"
    )
    for name in (*PHOTOGRAPHS, DIGITS):
        assert Recipe.read(TINY, [f"data.source={name}"]).raw["data"]["source"] == name


def test_infinite_reference_reads_back(tmp_path: Path):
    recipe = Recipe.read(TINY, ["descriptor.reference_std=inf"])
    assert Recipe.read(write(tmp_path, recipe.to_toml())) == recipe


def test_a_chain_must_say_its_steps(tmp_path: Path):
    text = TINY.read_text()
    lines = [line for line in text.splitlines() if not line.startswith("steps = ")]
    assert problems_of(source=write(tmp_path, "\n".join(lines))) == [
        "revision.steps is missing; it must be a whole number",
        "inference.steps is missing; it must be a whole number",
    ]


def test_a_short_dip_of_a_rate_of_torch_is_seen():
    stairs = '{schedule="piecewise", values=[1, -1, 1], boundaries=[5, 6]}'
    optimizer = f'generator.optimizer={{name="Adam", lr={stairs}}}'
    (problem,) = problems_of(optimizer, "run.iterations=20000")
    assert "at iteration 5 of its schedules" in problem


def test_a_rate_of_torch_that_cannot_be_computed_is_a_problem():
    hyperbola = '{schedule="polynomial", a=1.0, b=10.0, kappa=1000.0}'
    (problem,) = problems_of(f'generator.optimizer={{name="Adam", lr={hyperbola}}}')
    assert problem.startswith("generator.optimizer.lr has no value at iteration 0 of its schedule")
