"""What farsight raises. Each message names the input that was wrong and the remedy, in one line."""


class FarSightError(Exception):
    """Base of every error of this package; the command line prints its message and exits with code 2."""


class SettingError(FarSightError, ValueError):
    """A parameter of a method, or a combination of them, that has no meaning."""


class UnsupportedModelError(FarSightError, TypeError):
    """A model, an attention implementation or a way to generate that a method cannot be exact on."""


class InputError(FarSightError, ValueError):
    """A file, a picture or a checkpoint that cannot be read."""
