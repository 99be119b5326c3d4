# Mien: train on FER2013, convert to TFLite, run the daemon. `make` lists the targets.

PYTHON   ?= python3
NAME     ?= expression
ARCH     ?= compact
DATA     ?= data/fer2013
CONFIG   ?= config.yaml
# make run SOURCE=demo, SOURCE=/dev/video0, SOURCE=clip.mp4, DETECTOR=haar, PORT=9000
SETTINGS := $(if $(SOURCE),--set camera.source=$(SOURCE)) \
            $(if $(DETECTOR),--set detector.backend=$(DETECTOR)) \
            $(if $(PORT),--set web.port=$(PORT))

TRAINING := --name $(NAME) $(if $(EPOCHS),--epochs $(EPOCHS)) \
            $(if $(RATE),--learning-rate $(RATE)) \
            $(if $(PRECISION),--precision $(PRECISION)) $(if $(DEVICES),--devices $(DEVICES))

# One environment for each need, made once; a target installs only what it uses.
EDGE  := .venv/edge
TRAIN := .venv/train
DEV   := .venv/dev
OLD   := .venv/tflite-runtime
FER   := .venv/fer
READER := .venv/metadata-reader
TASKS := .venv/mediapipe
BLAZEFACE := models/face_detection_full_range_sparse.tflite models/face_detection_short_range.tflite

.PHONY: help setup run install upgrade uninstall camera bundle deb explore train distil convert evaluate test test-faults test-systemd test-v4l2 test-arm64 test-fleet check format bench bench-soak bench-servers bench-viewers picture docs test-kill test-train test-ray test-api bench-architectures clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(EDGE)/.done $(BLAZEFACE) $(if $(filter mediapipe,$(DETECTOR)),$(EDGE)/.mediapipe)  ## install what the daemon needs, and no more

run: setup  ## run the daemon (SOURCE=, DETECTOR=, PORT=, CONFIG=)
	exec $(EDGE)/bin/python -m edge_daemon run --config $(CONFIG) $(SETTINGS)

# sudo make install. DESTDIR= puts it into a folder that is to become another machine's root.
INSTALL = $(PYTHON) -B -m deploy --destdir '$(or $(DESTDIR),/)'
install: $(BLAZEFACE)  ## install and start the service, by sudo (DESTDIR=)
	@$(INSTALL) install

upgrade: $(BLAZEFACE)  ## go over to this version, by sudo, and back if it does not run
	@$(INSTALL) upgrade

uninstall:  ## remove the service, by sudo, with its configuration and events (DESTDIR=)
	@$(INSTALL) uninstall

camera:  ## watch one more camera, by sudo (NAME=door SOURCE=/dev/video2 PORT=8081)
	@$(INSTALL) camera $(NAME) $(if $(SOURCE),--source $(SOURCE)) --port $(PORT)

bundle: $(BLAZEFACE)  ## write dist/mien-….tar.gz to install without a network (ARCH=aarch64 PYTHON=3.13)
	python3 -B -m deploy.bundle $(BUNDLE)

deb: $(BLAZEFACE)  ## write dist/mien_….deb, the same as a Debian package (ARCH=aarch64 PYTHON=3.13)
	python3 -B -m deploy.deb $(BUNDLE)
# Here ARCH and PYTHON are the other machine's, not a network's and this one's.
bundle deb: BUNDLE := --arch $(ARCH:compact=aarch64) --python $(PYTHON:python3=3.13)
bundle deb: override PYTHON := python3

explore: $(TRAIN)/.done  ## write a page about the dataset (DATA=)
	$(TRAIN)/bin/python -m train explore $(DATA)

train: $(TRAIN)/.done  ## train on FER2013 (DATA=, ARCH=compact|seed, NAME=, EPOCHS=, PRECISION=, DEVICES=all, START=model.tflite, RATE=)
	$(TRAIN)/bin/python -m train fit $(DATA) --arch $(ARCH) $(TRAINING) $(if $(START),--start $(START))

distil: $(TRAIN)/.done  ## train teachers, then the compact student from their answers (TEACHER=, TEACHERS=)
	$(TRAIN)/bin/python -m train distil $(DATA) $(TRAINING) $(if $(TEACHER),--teacher $(TEACHER)) $(if $(TEACHERS),--teachers $(TEACHERS))

convert: $(TRAIN)/.done $(OLD)/.done  ## convert exports/NAME to models/NAME.tflite (VARIANTS=all: float32, float16, dynamic too)
	$(TRAIN)/bin/python -m convert exports/$(NAME) --output models/$(NAME).tflite $(if $(VARIANTS),--variants $(VARIANTS))

evaluate: $(TRAIN)/.done  ## write all figures of models/NAME.tflite to its card, models/NAME.md (DATA=, NAME=)
	$(TRAIN)/bin/python -m train evaluate models/$(NAME).tflite $(DATA) --card models/$(NAME).md

test: $(DEV)/.done $(OLD)/.done $(READER)/.done $(BLAZEFACE)  ## run the tests, two files at a time
	$(DEV)/bin/python -m pytest -n 2 --dist loadfile

test-systemd: $(DEV)/.done $(BLAZEFACE)  ## install, fail, upgrade and uninstall in a booted container, by root
	$(DEV)/bin/python -m pytest tests/deploy/test_installed.py -m long -x -s -o timeout=1800

test-v4l2: $(DEV)/.done $(BLAZEFACE)  ## real V4L2 devices, in a QEMU guest made by root (20 minutes)
	$(DEV)/bin/python -m pytest tests/capture/test_v4l2_guest.py -m long -x -s -o timeout=3600

test-arm64: $(DEV)/.done $(BLAZEFACE)  ## install and run on arm64, in user-mode emulation, by root (20 minutes)
	$(DEV)/bin/python -m pytest tests/deploy/test_arm64.py -m long -s -o timeout=3600

test-faults: $(DEV)/.done $(BLAZEFACE)  ## take a camera away and give it back 200 times (CYCLES=)
	CYCLES=$(or $(CYCLES),200) $(DEV)/bin/python -m pytest tests/daemon/test_faults.py -m long -s

test-fleet: $(DEV)/.done  ## 200 devices at 5 events a second on one mosquitto (DEVICES=, SECONDS=)
	MIEN_DEVICES=$(or $(DEVICES),200) MIEN_SECONDS=$(or $(SECONDS),60) $(DEV)/bin/python -m pytest tests/mqtt/test_fleet.py -m long -s -o timeout=1200

check: $(DEV)/.done  ## lint, format check and types
	$(DEV)/bin/ruff check .
	$(DEV)/bin/hadolint Dockerfile
	$(DEV)/bin/ruff format --check .
	$(DEV)/bin/mypy

format: $(DEV)/.done  ## format the code
	$(DEV)/bin/ruff check --fix .
	$(DEV)/bin/ruff format .

test-train: $(DEV)/.done  ## train on several devices and hosts, and compare with one
	$(DEV)/bin/python -m pytest tests/train/test_train_devices.py -m long

test-kill: $(DEV)/.done $(BLAZEFACE)  ## kill the daemon and its log 50 times and count the lines
	MIEN_KILLS=50 $(DEV)/bin/python -m pytest -o timeout=1200 tests/events/test_kill.py

test-ray: $(DEV)/.ray $(BLAZEFACE)  ## classify on a Ray cluster of this machine, and compare
	$(DEV)/bin/python -m pytest tests/batch/test_classify.py -m long

test-api: $(DEV)/.done $(BLAZEFACE)  ## ask the daemon what docs/openapi.yaml allows, 300 times a path (EXAMPLES=)
	MIEN_EXAMPLES=$(or $(EXAMPLES),300) $(DEV)/bin/python -m pytest -o timeout=1200 tests/web/test_openapi.py

picture: $(DEV)/.done $(BLAZEFACE)  ## take the README's picture of the page, docs/page.png
	MIEN_PICTURE=docs/page.png $(DEV)/bin/python -m pytest tests/web/test_page_picture.py

docs: $(DEV)/.done  ## write docs/configuration.md from the schema
	$(DEV)/bin/python docs/configuration.py > docs/configuration.md

bench: $(DEV)/.done $(EDGE)/.done $(FER)/.done $(TASKS)/.done $(BLAZEFACE)  ## compare with other ways, side by side (FRAMES=480)
	$(DEV)/bin/python -m benchmarks.compare $(FRAMES)

bench-soak: $(EDGE)/.done $(BLAZEFACE)  ## watch the daemon's memory over many frames (MINUTES=30)
	$(EDGE)/bin/python -m benchmarks.soak $(or $(MINUTES),30)

bench-servers: $(DEV)/.done  ## compare the web servers of docs/adr/0003 (two minutes)
	$(DEV)/bin/python -m benchmarks.servers

bench-viewers: $(DEV)/.done $(BLAZEFACE)  ## a hundred viewers, next to Debian's motion (CLIP=, needs motion and ffmpeg)
	$(DEV)/bin/python -m benchmarks.viewers $(CLIP)

bench-architectures: $(DEV)/.done  ## train and compare candidates for the compact network, for hours (DATA=, EPOCHS=12)
	$(DEV)/bin/python -m benchmarks.architectures $(DATA) $(if $(EPOCHS),--epochs $(EPOCHS))

clean:  ## remove the environments and caches (models, exports and events stay)
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache build *.egg-info

$(EDGE)/.done: EXTRAS = edge,mqtt,updates
$(TRAIN)/.done: EXTRAS = train
$(DEV)/.done: EXTRAS = edge,train,dev
.venv/%/.done: pyproject.toml
	$(PYTHON) -m venv .venv/$*
	.venv/$*/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS)]'
	.venv/$*/bin/python -m compileall -q edge_daemon
	@touch $@

# tflite-runtime's last wheels are for Python 3.11 on Linux; where it cannot be had, conversion and
# tests go on without it and say so.
PYTHON_311 ?= $(shell $(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' && echo $(PYTHON) || echo python3.11)
$(OLD)/.done:
	-$(PYTHON_311) -m venv $(OLD) && $(OLD)/bin/python -m pip install --quiet --disable-pip-version-check tflite-runtime==2.14.0 numpy==1.26.4 && touch $@

# 0.10.21 is the last MediaPipe whose wheel has all that its metadata reader imports.
$(READER)/.done:
	-$(PYTHON) -m venv $(READER) && $(READER)/bin/python -m pip install --quiet --disable-pip-version-check numpy==1.26.4 'flatbuffers>=25,<26' 'absl-py>=2,<3' attrs matplotlib 'protobuf>=4,<5' opencv-python-headless==4.10.0.84 && $(READER)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps mediapipe==0.10.21 && touch $@

# `make bench` compares with these, and says so where one cannot be had. fer names PyTorch too, of
# which it uses nothing with its default settings.
$(FER)/.done:
	-$(PYTHON) -m venv $(FER) && $(FER)/bin/python -m pip install --quiet --disable-pip-version-check 'tensorflow-cpu>=2.21,<2.22' 'opencv-python-headless>=4.10,<5' requests pillow 'setuptools<81' && $(FER)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps fer==25.10.3 && touch $@
$(TASKS)/.done: pyproject.toml
	-$(PYTHON) -m venv $(TASKS) && $(TASKS)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[edge,mediapipe]' && $(TASKS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps 'mediapipe>=1.2,<2' && touch $@

# MediaPipe without the OpenCV it names, which would replace the headless one; at run time it also
# needs Debian's libegl1 and libgles2.
$(EDGE)/.mediapipe: $(EDGE)/.done
	$(EDGE)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[mediapipe]'
	$(EDGE)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps 'mediapipe>=1.2,<2'
	@touch $@

$(DEV)/.ray: $(DEV)/.done
	$(DEV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[ray]'
	@touch $@

$(BLAZEFACE):
	$(PYTHON) models/fetch_blazeface.py
