"""The list of modules with their code leaves out those without any; Sphinx lists `builtins`, where properties live."""

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment


def leave_out(app: Sphinx, env: BuildEnvironment) -> None:
    """Forget the modules of which viewcode has found no code."""
    modules = getattr(env, "_viewcode_modules", {})
    for name in [name for name, entry in modules.items() if entry is False]:
        del modules[name]


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("env-check-consistency", leave_out)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
