"""The commands that save and use configurations: apply, profile, train."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tune_app.cli.options import (
    json_option,
    parse_settings,
    parse_trial,
    print_json,
    profiles_option,
    set_option,
    store_option,
)
from tune_app.cli.results import print_table
from tune_app.cli.study_argument import study_argument
from tune_app.errors import InputError
from tune_app.readable import shown
from tune_app.standard_output import reserved

if TYPE_CHECKING:
    from tune_app.profiles.profile import Profile
    from tune_app.profiles.profiles import Profiles


@click.command()
@study_argument(required=False)
@click.argument("trial", type=int, required=False)
@click.option("--profile", "profile_name", metavar="NAME", help="Apply this profile instead of a trial.")
@set_option
@store_option
@profiles_option
def apply(
    study: str | None,
    trial: int | None,
    profile_name: str | None,
    settings: tuple[str, ...],
    store: str,
    profiles_folder: str,
) -> None:
    """Make a configuration the current one: the best trial of STUDY, its TRIAL by number, or a profile."""
    from tune_app.profiles.profiles import Profiles

    profiles = Profiles(profiles_folder)
    chosen = _chosen(profiles, store, study, trial, profile_name).edited(parse_settings(settings))
    profiles.apply(chosen)
    click.echo(f"applied {_origin(chosen)}; `tune-app train` uses it")


@click.group()
def profile() -> None:
    """Save, list, compare, rename and delete profiles."""


@profile.command("save")
@click.argument("name")
@click.option("--trial", "trial_text", metavar="STUDY[:N]", help="Save this trial; without N, the best one.")
@click.option("--from", "source", metavar="PROFILE", help="Copy this profile.")
@click.option("--replace", is_flag=True, help="Replace an existing profile; its old revision is kept.")
@click.option("--note", default=None, help="A note to store with it.")
@set_option
@store_option
@profiles_option
def profile_save(
    name: str,
    trial_text: str | None,
    source: str | None,
    replace: bool,
    note: str | None,
    settings: tuple[str, ...],
    store: str,
    profiles_folder: str,
) -> None:
    """Save a configuration as profile NAME: from a trial, another profile, or by default the current configuration."""
    from dataclasses import replace as changed

    from tune_app.profiles.profiles import Profiles

    profiles = Profiles(profiles_folder)
    if trial_text and source:
        raise InputError("--trial and --from cannot be combined")
    loaded = max(profiles.revisions(name), default=0) if name in profiles.names() else 0
    if loaded and not replace:
        raise InputError(
            f"the profile `{name}` exists at revision {loaded}",
            hint="choose another name, or replace it with --replace",
        )
    if trial_text:
        study, colon, _ = trial_text.partition(":")
        chosen = _chosen(profiles, store, study, parse_trial(trial_text)[1] if colon else None, None)
    else:
        chosen = _chosen(profiles, store, None, None, source) if source else profiles.session()
    chosen = changed(chosen.edited(parse_settings(settings)), name=name, note=chosen.note if note is None else note)
    saved = profiles.save(chosen, loaded_revision=loaded)
    click.echo(f"saved {profiles.folder / name}.yaml (revision {saved.revision}) from {_origin(saved)}")


@profile.command("list")
@json_option
@profiles_option
def profile_list(as_json: bool, profiles_folder: str) -> None:
    """List the profiles."""
    from tune_app.datasets.reference import dataset_title
    from tune_app.profiles.profiles import Profiles, shipped_profiles

    profiles = Profiles(profiles_folder)
    rows: list[dict[str, Any]] = []
    for name in profiles.names():
        try:
            found = profiles.load(name)
        except InputError as error:
            rows.append({"profile": name, "invalid": error.message})
            continue
        kept = found.provenance
        rows.append(
            {
                "profile": name,
                "revision": found.revision,
                "task": found.task,
                "dataset": dataset_title(found.dataset),
                "study": kept.get("study"),
                "trial": kept.get("trial"),
                "objective": found.measured,
                "saved_at": kept.get("saved_at"),
                "invalid": None,
            }
        )
    if as_json:
        print_json(rows)
    elif rows:
        print_table(rows)
    else:
        click.echo(f"no profiles in {profiles.folder}; save one with `tune-app profile save NAME --trial STUDY`")
        click.echo(f"examples that ship with tune-app: {', '.join(shipped_profiles())}")


@profile.command("show")
@click.argument("name")
@click.option("--revision", type=int, help="An earlier revision.")
@json_option
@profiles_option
def profile_show(name: str, revision: int | None, as_json: bool, profiles_folder: str) -> None:
    """Print profile NAME as stored in its file."""
    from tune_app.profiles.profiles import Profiles

    profiles = Profiles(profiles_folder)
    found = profiles.find(name) if revision is None else profiles.load(name, revision)
    if as_json:
        print_json(found.to_dict())
    else:
        click.echo(found.to_yaml(), nl=False)


@profile.command("diff")
@click.argument("old")
@click.argument("new")
@json_option
@profiles_option
def profile_diff(old: str, new: str, as_json: bool, profiles_folder: str) -> None:
    """Show the values in which two profiles differ; NAME@N is revision N of NAME."""
    from tune_app.profiles.profiles import Profiles, differences

    profiles = Profiles(profiles_folder)
    found = differences(_at(profiles, old), _at(profiles, new))
    if as_json:
        print_json({key: {"old": before, "new": after} for key, (before, after) in found.items()})
    elif found:
        print_table([{"variable": k, f"{old} (old)": a, f"{new} (new)": b} for k, (a, b) in found.items()])
    else:
        click.echo("no difference")


@profile.command("history")
@click.argument("name")
@json_option
@profiles_option
def profile_history(name: str, as_json: bool, profiles_folder: str) -> None:
    """List the revisions of profile NAME, even a deleted one."""
    from tune_app.profiles.profiles import Profiles, differences

    profiles = Profiles(profiles_folder)
    numbers = profiles.revisions(name)
    if not numbers:
        profiles.load(name)
    rows: list[dict[str, Any]] = []
    former: Profile | None = None
    for number in numbers:
        found = profiles.load(name, number)
        changed = list(differences(former, found)) if former else []
        rows.append(
            {
                "revision": number,
                "saved_at": found.provenance.get("saved_at"),
                "study": found.provenance.get("study"),
                "trial": found.provenance.get("trial"),
                "changed": ", ".join(changed),
                "note": found.note,
            }
        )
        former = found
    if as_json:
        print_json(rows)
    else:
        print_table(rows)


@profile.command("rename")
@click.argument("name")
@click.argument("new")
@profiles_option
def profile_rename(name: str, new: str, profiles_folder: str) -> None:
    """Rename profile NAME to NEW, along with its history."""
    from tune_app.profiles.profiles import Profiles

    renamed = Profiles(profiles_folder).rename(name, new)
    click.echo(f"renamed {name} to {new} (revision {renamed.revision})")


@profile.command("delete")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@profiles_option
def profile_delete(name: str, yes: bool, profiles_folder: str) -> None:
    """Delete profile NAME; its revisions stay in the history."""
    from tune_app.profiles.profiles import Profiles

    profiles = Profiles(profiles_folder)
    if name not in profiles.names():
        profiles.load(name)  # reports what is wrong with the name
    revision = profiles.revisions(name)[-1]
    if not yes and not click.confirm(f"delete the profile `{name}` (revision {revision})?", err=True):
        click.echo(f"kept {name}")
        return
    profiles.delete(name)
    click.echo(f"deleted {name}; `tune-app profile show {name} --revision {revision}` still shows it")


@click.command()
@click.argument("profile_name", metavar="[PROFILE]", required=False)
@click.option("--trial", "trial_text", metavar="STUDY:N", help="Train the configuration of this trial instead.")
@click.option("--epochs", type=click.IntRange(min=1), help="Epochs. Default: the configuration's own.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed. Default: the trial's own.")
@click.option("--name", help="Name of the training run's folder. Default: the profile's name and the time.")
@set_option
@json_option
@store_option
@profiles_option
def train(
    profile_name: str | None,
    trial_text: str | None,
    epochs: int | None,
    seed: int | None,
    name: str | None,
    settings: tuple[str, ...],
    as_json: bool,
    store: str,
    profiles_folder: str,
) -> None:
    """Train PROFILE, a trial, or by default the current configuration, and save a checkpoint and metrics."""
    from dataclasses import replace

    from tune_app.naming import check_name
    from tune_app.profiles.train import study_threads
    from tune_app.profiles.train import train as run_training
    from tune_app.spaces.spec import epochs_of
    from tune_app.store.store import Store

    if name is not None:
        check_name("a training run's name", name, "--name")
    opened = Store(store)
    chosen = chosen_to_train(profile_name, trial_text, settings, store, profiles_folder)
    if epochs is not None and "epochs" in chosen.config:
        chosen = replace(chosen, config={**chosen.config, "epochs": epochs}).validated(where="--epochs")
    known = chosen.provenance.get("study") in opened.studies()
    with reserved():  # the task's output does not belong in the result
        trained = run_training(
            chosen,
            opened,
            epochs=epochs or epochs_of(chosen.config, chosen.provenance.get("epochs") or 1),
            seed=(chosen.provenance.get("seed") or 0) if seed is None else seed,
            name=name,
            threads=study_threads(opened.study(chosen.provenance["study"])) if known else None,
            on_epoch=lambda row: click.echo(
                f"epoch {row.epoch}: " + ", ".join(f"{k} {shown(v)}" for k, v in row.metrics.items()), err=True
            ),
        )
    if as_json:
        print_json(trained.__dict__)
    else:
        click.echo("\n".join(f"{name:<28}{shown(value)}" for name, value in trained.metrics.items()))
        click.echo(f"checkpoint and metrics: {trained.folder}")


def chosen_to_train(
    profile_name: str | None, trial_text: str | None, settings: tuple[str, ...], store: str, profiles_folder: str
) -> Profile:
    """The configuration of a profile or a trial, or by default the session, overridden by `settings`.

    Raises:
        InputError: both are given, or one does not exist.
    """
    from tune_app.profiles.profiles import Profiles

    profiles = Profiles(profiles_folder)
    if trial_text and profile_name:
        raise InputError("a profile and --trial cannot be combined")
    if trial_text:
        study, number = parse_trial(trial_text)
        chosen = _chosen(profiles, store, study, number, None)
    else:
        chosen = profiles.find(profile_name) if profile_name else profiles.session()
    return chosen.edited(parse_settings(settings))


def _chosen(profiles: Profiles, store: str, study: str | None, trial: int | None, profile_name: str | None) -> Profile:
    from tune_app.profiles.profiles import find_configuration
    from tune_app.store.store import Store

    return find_configuration(profiles, Store(store), profile=profile_name, study=study, trial=trial)


def _at(profiles: Profiles, text: str) -> Profile:
    name, at, revision = text.partition("@")
    if at and not revision.isdecimal():
        raise InputError(f"a revision must be a number, but got `{text}`", hint="for example digits-best@2")
    return profiles.load(name, int(revision)) if at else profiles.find(name)


def _origin(profile: Profile) -> str:
    kept = profile.provenance
    edited = ", ".join(kept.get("edited") or {})
    source = f"trial {kept.get('trial')} of {kept['study']}" if kept.get("study") else f"profile {profile.name}"
    return f"{source} (edited: {edited})" if edited else source
