"""The commands and what they have in common: the version, and errors on one line."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperArgument, TyperGroup

from farsight import __version__
from farsight.cli.amber import amber
from farsight.cli.audit import audit
from farsight.cli.calibrate import calibrate
from farsight.cli.chair import chair
from farsight.cli.describe import describe
from farsight.cli.diagnose import diagnose
from farsight.cli.doctor import doctor
from farsight.cli.evaluate import evaluate
from farsight.cli.export import export
from farsight.cli.judge import judge
from farsight.cli.methods import methods
from farsight.cli.options import check_no_setting
from farsight.cli.pope import pope, pope_questions
from farsight.cli.quiet import quiet
from farsight.cli.reproduce import reproduce
from farsight.cli.serve import serve
from farsight.cli.table import table
from farsight.cli.terminal import abandon, note, prepare, say
from farsight.cli.tune import tune
from farsight.cli.web import web
from farsight.entries import Registry
from farsight.errors import FarSightError, SettingError

MORE: Registry[typer.Typer] = Registry(
    kind=typer.Typer,
    noun="command",
    group="farsight.commands",
    own={"scenes": "farsight_scenes.commands:scenes", "train": "farsight_scenes.commands:training"},
)
"""Commands of the packages beside this one, which are imported when they are called or listed."""


class _Commands(TyperGroup):
    """The commands of this package and of those beside it."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *MORE.found()]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        command = super().get_command(ctx, cmd_name)
        if command is None and (more := MORE.find(cmd_name)) is not None:
            command = typer.main.get_command(more)
            command.name = cmd_name
        for one in (command, *getattr(command, "commands", {}).values()):
            if one is not None:
                _without_types(one.get_params(ctx))
        return command

    def get_params(self, ctx: Any) -> list[Any]:
        return _without_types(super().get_params(ctx))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            near = difflib.get_close_matches(name, self.list_commands(ctx), n=1)
            meant = f", did you mean '{near[0]}'?" if near else ""
            raise SettingError(f"there is no command '{name}'{meant}; farsight --help lists them")
        return super().resolve_command(ctx, args)


def _without_types(params: list[Any]) -> list[Any]:
    """Leave Python's types, ``<bool>`` and ``<list[Path]>``, out of the help of flags and arguments."""
    for param in params:
        if isinstance(param, TyperArgument) or param.is_flag:
            vars(param)["display_type_rich"] = lambda ctx: None
    return params


class _OneLineErrors(_Commands):
    """Whatever the user got wrong becomes ``error: ...`` on stderr and exit code 2."""

    def main(self, args: Sequence[str] | None = None, standalone_mode: bool = True, **extra: Any) -> Any:  # type: ignore[override]
        if not standalone_mode:
            return super().main(args, standalone_mode=False, **extra)
        prepare()
        try:
            with quiet():
                code = super().main(args, standalone_mode=False, **extra)
            sys.stdout.flush()
        except FarSightError as error:
            _fail(str(error))
        except typer.TyperException as error:
            _fail(_message(error))
        except (KeyboardInterrupt, typer.Abort):
            sys.exit(130)
        except OSError as error:
            if error.filename is None:  # not of a file that was opened: of what is printed
                abandon(sys.stdout)
            _fail(f"{error.filename or 'the output'}: {error.strerror or error}; choose another place")
        except MemoryError:
            _fail("this needs more memory than there is; give less at once")
        sys.exit(code if isinstance(code, int) else 0)


def _message(error: typer.TyperException) -> str:
    """What a wrong command line is told; of a setting that is written as an option, where it belongs."""
    context = getattr(error, "ctx", None)
    taken = set() if context is None else {name for each in context.command.params for name in each.opts}
    for option in ("--method", "--methods"):
        if option in taken:
            try:
                check_no_setting(getattr(error, "option_name", ""), option)
            except FarSightError as better:
                return str(better)
    return error.format_message()


def _fail(message: str) -> NoReturn:
    note(f"error: {message}")
    sys.exit(2)


app = typer.Typer(
    cls=_OneLineErrors,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(describe)
app.command()(methods)
app.command()(doctor)
app.command()(diagnose)
app.command()(calibrate)
app.command("eval")(evaluate)
app.command()(tune)
app.command()(judge)
app.command()(table)
app.command()(reproduce)
app.command()(chair)
app.command()(audit)
app.command()(pope)
app.command("pope-questions")(pope_questions)
app.command()(amber)
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(serve)
app.command()(export)
app.command()(web)


def _print_version(wanted: bool) -> None:
    if wanted:
        say(f"farsight {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def farsight(
    context: typer.Context,
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Say the version and leave.")
    ] = False,
) -> None:
    """Multimodal LLMs that name fewer objects that are not there: attention registers at decoding time, no training.

    Start with: farsight describe --compare PICTURE
    """
    if context.invoked_subcommand is None:
        say(context.get_help())
