"""The server in this process, asked over real connections."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
import transformers
from chat_server import Serve, Serving
from tiny_checkpoint import save_tiny_llava, tokenizer

from farsight import FarSight
from farsight.inputs.checkpoints import LoadedModel, load
from farsight.method import Method

TEXT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'].upper() + ': ' + message['content'] + ' ' }}{% endfor %}ASSISTANT:"
)
STRONG = FarSight(profile=3.0, horizon=400)


@pytest.fixture(scope="session")
def serve() -> Serve:
    uvicorn = pytest.importorskip("uvicorn", reason="pip install uvicorn")
    app = pytest.importorskip("farsight.serve.app", reason="pip install starlette")

    @contextmanager
    def serve(
        loaded: LoadedModel, method: Method = STRONG, slowly: float = 0, api_key: str | None = None, **limits: Any
    ) -> Iterator[Serving]:
        """Serve a model, each forward pass of which takes so many seconds more."""
        from farsight.serve.limits import Limits

        application = app.application(loaded, method, "it", limits=Limits(**limits), api_key=api_key)
        server = uvicorn.Server(uvicorn.Config(application, log_level="critical", http="h11", ws="none"))
        listener = socket.create_server(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        port = listener.getsockname()[1]
        serving = Serving(loaded=loaded, method=method, worker=application.state.worker, port=port)

        def called(*_: Any) -> None:
            serving.forwards.append(time.monotonic())
            time.sleep(slowly)

        hook = loaded.model.register_forward_pre_hook(called)
        thread.start()
        try:
            yield serving
        finally:
            server.should_exit = server.force_exit = True
            thread.join(30)
            assert serving.worker.close(30)
            hook.remove()

    return serve


@pytest.fixture(scope="session")
def llava(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load(save_tiny_llava(tmp_path_factory.mktemp("tiny-llava")), device="cpu")


@pytest.fixture(scope="session")
def free_llava(llava: LoadedModel) -> LoadedModel:
    """The same one, which no server has yet."""
    return load(llava.name, device="cpu")


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A text model."""
    folder, words = tmp_path_factory.mktemp("tiny-llama"), tokenizer()
    words.chat_template = TEXT_TEMPLATE
    words.save_pretrained(folder)
    config = transformers.LlamaConfig(
        vocab_size=len(words), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=512, pad_token_id=3, bos_token_id=1, eos_token_id=None,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    return load(folder, device="cpu")


@pytest.fixture(scope="session")
def server(serve: Serve, llava: LoadedModel) -> Iterator[Serving]:
    with serve(llava) as serving:
        yield serving


@pytest.fixture(scope="session")
def text_server(serve: Serve, llama: LoadedModel) -> Iterator[Serving]:
    with serve(llama) as serving:
        yield serving
