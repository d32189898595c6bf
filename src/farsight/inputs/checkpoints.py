"""Loading a multimodal LLM: a folder or a name on the hub becomes a model and its processor, or one clear line.

Weights are read from safetensors only and no code of a checkpoint is ever run.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import huggingface_hub
import torch
import transformers
from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError
from safetensors import SafetensorError
from torch import nn

from farsight.errors import FarSightError, InputError, SettingError
from farsight.inputs import chat_templates, checkpoint_files
from farsight.inputs.frames_processor import FramesProcessor, has_frames_processor

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

_PROBE_SECONDS = 5.0

Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class LoadedModel:
    """A model in evaluation mode, the processor that makes its inputs, and the name it was asked for by."""

    model: nn.Module
    processor: Any
    name: str

    @property
    def tokenizer(self) -> Any:
        return getattr(self.processor, "tokenizer", self.processor)

    @property
    def takes_images(self) -> bool:
        return hasattr(self.processor, "image_processor")

    @property
    def takes_videos(self) -> bool:
        return getattr(self.processor, "video_processor", None) is not None

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.model.parameters()).dtype


def load(
    name: str | Path,
    *,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    attn_implementation: str | None = None,
) -> LoadedModel:
    """Load a checkpoint with Transformers.

    What is on this machine is used first; only a name that is not is looked for on the hub, once and briefly.

    Parameters
    ----------
    name
        A folder with ``config.json`` and ``*.safetensors``, or a name such as ``llava-hf/llava-1.5-7b-hf``.
    device
        ``cpu``, ``cuda``, ``cuda:1``, ``mps``, ...; by default a GPU where there is one.
    dtype
        One of `DTYPES` or a ``torch.dtype``; by default float32 on a CPU and the checkpoint's own elsewhere.
    attn_implementation
        What Transformers calls ``attn_implementation``; by default its own choice.

    Raises
    ------
    InputError
        If there is no such checkpoint, or it is damaged, incomplete, pickled, or needs code of its own.
    SettingError
        If the device, the dtype or the attention implementation is unknown or not available here.
    """
    target = resolve_device(device)
    how = {"dtype": resolve_dtype(dtype, target), "attn_implementation": attn_implementation}
    if _is_folder(name):
        return _load(str(Path(name).expanduser()), str(name), target, how, local_files_only=True)
    name = str(name)
    if _is_cached(name):
        try:
            return _load(name, name, target, how, local_files_only=True)
        except InputError:
            if huggingface_hub.is_offline_mode():
                raise
    _find_on_hub(name)
    return _load(name, name, target, how, local_files_only=False)


def load_mapped(folder: Path, name: str) -> LoadedModel:
    """Load a folder on the CPU as it is stored: its weights stay in their files until they are used, of any size.

    They are not looked at either, so that it takes seconds; raises as `load`.
    """
    checkpoint_files.check_folder(folder)
    how = {"dtype": "auto", "attn_implementation": None}
    return _load(str(folder), name, torch.device("cpu"), how, local_files_only=True, mapped=True)


def folder_of(name: str | Path) -> Path:
    """Give the folder of a checkpoint that is on this machine: a folder, or what the hub's cache has of a name.

    Raises
    ------
    InputError
        If it is not here, or incomplete.
    """
    if _is_folder(name):
        return Path(name).expanduser()
    if not _is_cached(str(name)):
        raise InputError(f"'{name}' is neither a folder nor in the hub's cache; download it first: hf download {name}")
    return Path(huggingface_hub.snapshot_download(str(name), local_files_only=True))


def check(name: str | Path) -> None:
    """Look for a checkpoint that something else will load, and raise what `load` would if it is not there."""
    if not _is_folder(name) and not _is_cached(str(name)):
        _find_on_hub(str(name))


def resolve_device(device: str | torch.device | None) -> torch.device:
    """The device that is meant, checked to be there. None and "auto" are the first GPU, or else the CPU.

    Raises
    ------
    SettingError
        If there is no such device.
    """
    if device is None or device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        target = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise SettingError(f"unknown device '{device}'; choose cpu, cuda, cuda:N, mps or auto") from error
    try:
        torch.zeros(1, device=target).item()
    except (RuntimeError, AssertionError, NotImplementedError, ImportError) as error:
        raise SettingError(f"device '{device}' is not available on this machine; choose auto or cpu") from error
    return target


def resolve_dtype(dtype: str | torch.dtype | None, device: torch.device) -> torch.dtype | str:
    """The dtype that is meant, one of `DTYPES`; "auto", the checkpoint's own, for None where there is no CPU.

    Raises
    ------
    SettingError
        If there is no such dtype.
    """
    if dtype is None or dtype == "auto":
        return torch.float32 if device.type == "cpu" else "auto"
    if isinstance(dtype, torch.dtype):
        return dtype
    if dtype not in DTYPES:
        raise SettingError(f"unknown dtype '{dtype}'; choose {', '.join(DTYPES)} or auto")
    return DTYPES[dtype]


def _is_folder(name: str | Path) -> bool:
    """Tell a folder, which is then one that can be loaded, from a name."""
    if not str(name).strip():
        raise InputError("the name of the model is empty; pass a folder or a name such as llava-hf/llava-1.5-7b-hf")
    folder = Path(name).expanduser()
    if folder.exists() or _looks_like_path(name):
        checkpoint_files.check_folder(folder)
        return True
    return False


def _looks_like_path(name: str | Path) -> bool:
    text = str(name)
    return isinstance(name, Path) or text.startswith((".", "/", "~", "\\")) or text.count("/") > 1


def _is_cached(name: str) -> bool:
    try:
        return isinstance(huggingface_hub.try_to_load_from_cache(name, "config.json"), str)
    except HFValidationError as error:
        raise InputError(f"'{name}' is neither a folder nor a model name such as llava-hf/llava-1.5-7b-hf") from error


def _find_on_hub(name: str) -> None:
    """Make one short request before any download, which would try again and again where there is no network."""
    missing = (
        f"'{name}' was not found locally and could not be downloaded; pass a folder with config.json and *.safetensors"
    )
    if huggingface_hub.is_offline_mode():
        raise InputError(f"{missing}, or unset HF_HUB_OFFLINE")
    try:
        files = huggingface_hub.HfApi().model_info(name, timeout=_PROBE_SECONDS).siblings or []
    except GatedRepoError as error:
        raise InputError(f"'{name}' is gated; accept its terms on its page and log in with 'hf auth login'") from error
    except RepositoryNotFoundError as error:
        raise InputError(f"'{name}' was not found, neither locally nor on the hub; check the name") from error
    except Exception as error:  # whatever the network and the client of this version raise
        raise InputError(f"{missing}, or connect to the network") from error
    endings = {Path(file.rfilename).suffix for file in files}
    if ".safetensors" not in endings:
        raise InputError(
            checkpoint_files.pickled(name)
            if endings & {".bin", ".pt", ".pth"}
            else f"'{name}' has no *.safetensors weights"
        )


def _load(
    source: str,
    name: str,
    device: torch.device,
    how: dict[str, Any],
    *,
    local_files_only: bool,
    mapped: bool = False,
) -> LoadedModel:
    chat_templates.start()  # takes as long as the weights do
    where = {"local_files_only": local_files_only, "trust_remote_code": False}
    # Whatever a damaged checkpoint makes the libraries raise is the checkpoint's fault, so both nets are wide.
    try:
        if not Path(source).is_dir():
            settings = huggingface_hub.snapshot_download(
                source, allow_patterns=["*.json"], local_files_only=local_files_only
            )
            checkpoint_files.check_settings(Path(settings), name)
        config = transformers.AutoConfig.from_pretrained(source, **where)
        auto = _auto_class(config, name)
        if Path(source).is_dir():
            _check_size(auto, config, Path(source))
        model, report = auto.from_pretrained(
            source, config=config, use_safetensors=True, output_loading_info=True, **how, **where
        )
        model = model.to(device).eval()
    except FarSightError:
        raise
    except Exception as error:
        raise _explained(error, name, how["attn_implementation"]) from error
    if lacking := sorted(report["missing_keys"]):
        raise InputError(f"'{name}' lacks {len(lacking)} of its weights, {lacking[0]} for one; get it again")
    if not mapped:
        _check_finite(model, name)
    processor = read_processor(source, name, local_files_only=local_files_only)
    loaded = LoadedModel(model, processor, name)
    chat_templates.check(processor, takes_images=loaded.takes_images)
    return loaded


def _check_size(auto: Any, config: Any, folder: Path) -> None:
    """Build the model without memory, which takes a moment, and count its weights."""
    try:
        with torch.device("meta"):
            count = sum(weights.numel() for weights in auto.from_config(deepcopy(config)).parameters())
    except Exception:  # what is wrong with the settings is said when the model is loaded
        return
    if count > checkpoint_files.most_weights(folder):
        raise InputError(f"{folder / 'config.json'}: is of {count} weights, and there are far fewer; get it again")


def _check_finite(model: nn.Module, name: str) -> None:
    """One sum a tensor, which is not finite if any of its weights is not; some seconds for billions of them."""
    for weights, tensor in model.named_parameters():
        if tensor.is_floating_point() and not torch.isfinite(tensor.detach().sum(dtype=torch.float32)):
            raise InputError(f"the weights of '{name}' are damaged: {weights} has NaN or infinite ones; get it again")


_LIBRARY_ERRORS = (
    ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, MemoryError, OSError, RuntimeError,
    TypeError, ValueError,
)  # fmt: skip


def answering(
    answer: Callable[Concatenate[LoadedModel, Asked], Answer],
) -> Callable[Concatenate[LoadedModel, Asked], Answer]:
    """Decorate what lets a loaded model read a prompt and answer: whatever goes wrong there becomes one line.

    Settings of a checkpoint that contradict each other are not noticed before: a token for pictures that another file
    does not know, a layer that is not there, a list of forbidden words that is none.
    """

    @wraps(answer)
    def answered(loaded: LoadedModel, /, *asked: Asked.args, **how: Asked.kwargs) -> Answer:
        try:
            return answer(loaded, *asked, **how)
        except FarSightError:
            raise
        except torch.OutOfMemoryError as error:
            raise InputError(
                f"'{loaded.name}' does not fit in the memory of the device with this prompt; pass dtype bfloat16, or a "
                "shorter prompt"
            ) from error
        except _LIBRARY_ERRORS as error:
            raise InputError(
                f"'{loaded.name}' cannot answer ({type(error).__name__}: {_line(error)}); its config.json, "
                "generation_config.json or processor_config.json may not fit its weights or each other"
            ) from error

    return answered


def read_processor(source: str, name: str, *, local_files_only: bool = False) -> Any:
    """Read the processor of a checkpoint: Transformers' ``AutoProcessor``, or a `FramesProcessor`.

    Raises
    ------
    InputError
        If that fails, whatever the reason; ``name`` is what the message calls the checkpoint.
    """
    try:
        if has_frames_processor(source):
            return FramesProcessor.from_pretrained(source)
        return transformers.AutoProcessor.from_pretrained(
            source, local_files_only=local_files_only, trust_remote_code=False
        )
    except Exception as error:
        raise InputError(
            f"the processor of '{name}' cannot be loaded; see its processor_config.json and tokenizer.json: "
            + _line(error)
        ) from error


def _auto_class(config: Any, name: str) -> Any:
    for auto, mapping in (
        (transformers.AutoModelForImageTextToText, transformers.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING),
        (transformers.AutoModelForMultimodalLM, transformers.MODEL_FOR_MULTIMODAL_LM_MAPPING),
        (transformers.AutoModelForCausalLM, transformers.MODEL_FOR_CAUSAL_LM_MAPPING),
    ):
        if type(config) in mapping:
            return auto
    raise InputError(
        f"'{name}' is a {config.model_type} model, which does not generate text from a picture; "
        "pass a multimodal LLM such as llava-hf/llava-1.5-7b-hf"
    )


def _explained(error: Exception, name: str, attn_implementation: str | None) -> FarSightError:
    text = str(error)
    if "trust_remote_code" in text:
        return InputError(checkpoint_files.remote_code(name))
    if isinstance(error, SafetensorError):
        return InputError(f"the weights of '{name}' are damaged ({_line(error)}); get the checkpoint again")
    if "ignore_mismatched_sizes" in text:
        return InputError(
            f"the weights of '{name}' do not have the shapes of its config.json; get the checkpoint again"
        )
    if isinstance(error, torch.OutOfMemoryError):
        return InputError(f"'{name}' does not fit in the memory of the device; pass dtype bfloat16 or another device")
    if attn_implementation is not None and "attention" in text.lower().replace("attn_impl", "attention"):
        return SettingError(f"attention implementation '{attn_implementation}' cannot be used here: {_line(error)}")
    if isinstance(error, ImportError):
        return InputError(f"'{name}' needs a package that is not installed: {_line(error)}")
    return InputError(f"'{name}' cannot be loaded: {_line(error)}")


def _line(error: BaseException) -> str:
    """The first sentence of an error, on one line of bearable length."""
    text = re.split(r"\.\s+(?=[A-Z])", " ".join(str(error).split()))[0] or type(error).__name__
    return text if len(text) <= 240 else f"{text[:237]}..."
