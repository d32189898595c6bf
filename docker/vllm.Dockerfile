# `farsight serve --engine vllm`: an OpenAI-compatible server with attention registers as sinks, on one NVIDIA GPU.
#
# This file has not been built by the project: its machines run no Docker and have no GPU. Say so where you report a
# fault in it.
#
#   docker build -f docker/vllm.Dockerfile -t farsight-vllm .
#   docker run --rm --gpus all -p 127.0.0.1:8000:8000 -v ~/.cache/huggingface:/root/.cache/huggingface \
#       farsight-vllm --model llava-hf/llava-1.5-7b-hf
#
# The image of vLLM brings PyTorch and CUDA that fit each other; farsight is installed beside them and must not replace
# them, so what it needs of its own is named here and nothing else is resolved.

ARG VLLM=latest
FROM python:3.12-slim AS wheel
WORKDIR /source
COPY . .
RUN pip install --no-cache-dir build && python -m build --wheel --outdir /wheels

FROM vllm/vllm-openai:${VLLM}
COPY --from=wheel /wheels /wheels
RUN pip install --no-cache-dir ijson matplotlib scipy typer \
    && pip install --no-cache-dir --no-deps /wheels/*.whl && rm -r /wheels \
    && python3 -c "import farsight.cli, torch, transformers, vllm"
EXPOSE 8000
ENTRYPOINT ["farsight", "serve", "--engine", "vllm", "--host", "0.0.0.0", "--port", "8000"]
