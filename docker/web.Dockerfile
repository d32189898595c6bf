# The web page, `farsight web`, with the embedded model, on a CPU.
#
# This file has not been built by the project: its machines run no Docker. Say so where you report a fault in it.
#
#   docker build -f docker/web.Dockerfile -t farsight-web .
#   docker run --rm --network none farsight-web farsight --version
#   docker run --rm -p 127.0.0.1:7860:7860 farsight-web
#
# The page has no accounts: publish its port on the loopback address, as above, or behind something that has.

FROM python:3.12-slim AS wheel
WORKDIR /source
COPY . .
RUN pip install --no-cache-dir build && python -m build --wheel --outdir /wheels

FROM python:3.12-slim
RUN useradd --create-home farsight
COPY constraints.txt /tmp/constraints.txt
COPY --from=wheel /wheels /wheels
# PyTorch's ordinary wheels carry CUDA. For the smaller CPU build point pip at an index that has it (PIP_EXTRA_INDEX_URL).
ARG PIP_EXTRA_INDEX_URL
# Gradio wants an older Pillow than the one that everything else is tested with.
RUN sed -i '/^pillow==/d' /tmp/constraints.txt && pip install --no-cache-dir -c /tmp/constraints.txt "$(ls /wheels/*.whl)[web]" && rm -r /wheels /tmp/constraints.txt
USER farsight
WORKDIR /home/farsight
ENV HF_HUB_OFFLINE=1 KMP_BLOCKTIME=0 OMP_WAIT_POLICY=passive
EXPOSE 7860
CMD ["farsight", "web", "--host", "0.0.0.0", "--port", "7860"]
