# Mien: train on FER2013, convert to TFLite, run the daemon. `make` lists the targets.
#
# A value given as NAME=VALUE is never pasted into a recipe. It reaches the shell as an environment
# variable, exactly as typed, so blanks, quotes, `;`, `&` and `$` are safe, and nothing is echoed.

.DEFAULT_GOAL := help
MAKEOVERRIDES :=

# The variables each target takes. PYTHON is the Python that Mien will run on.
TAKES_setup := PYTHON DETECTOR
TAKES_run := PYTHON SOURCE MODEL DETECTOR HOST PORT PASSWORD CONFIG
TAKES_classify := PYTHON FILE OUT CONFIG
TAKES_doctor := PYTHON CONFIG
TAKES_explore := PYTHON DATA LABELS CONTEMPT
TAKES_train := PYTHON DATA LABELS CONTEMPT NAME NETWORK EPOCHS RATE PRECISION DEVICES START
TAKES_distil := PYTHON DATA LABELS CONTEMPT NAME EPOCHS RATE PRECISION DEVICES START TEACHER TEACHERS
TAKES_convert := PYTHON NAME VARIANTS
TAKES_try-training := PYTHON DATA LABELS CONTEMPT
TAKES_evaluate := PYTHON DATA NAME
TAKES_install := PYTHON DESTDIR
TAKES_upgrade := PYTHON DESTDIR
TAKES_uninstall := PYTHON DESTDIR
TAKES_camera := PYTHON NAME SOURCE PORT
TAKES_wheel :=
TAKES_release := PYTHON KEY
TAKES_bundle := ARCH PYTHON KEY
TAKES_deb := ARCH PYTHON KEY
TAKES_test := PYTHON COVERAGE
TAKES_test-faults := PYTHON CYCLES
TAKES_test-fleet := PYTHON FLEET DURATION_S
TAKES_test-kill := PYTHON KILLS
TAKES_test-api := PYTHON EXAMPLES
TAKES_fuzz := PYTHON TESTS
TAKES_bench := PYTHON FRAMES
TAKES_bench-day := PYTHON WINDOW BESIDE
TAKES_bench-detection := PYTHON FACELESS
TAKES_bench-instructions := PYTHON
TAKES_bench-soak := PYTHON MINUTES
TAKES_bench-hour := PYTHON MINUTES
TAKES_bench-viewers := PYTHON CLIP
TAKES_bench-architectures := PYTHON DATA EPOCHS
TAKES_help :=
TAKES_clean :=

GOALS := $(or $(MAKECMDGOALS),help)
VARIABLES := $(sort $(foreach target,$(filter TAKES_%,$(.VARIABLES)),$($(target))) PYTHON)
GIVEN := $(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(name)))),$(name)))
GIVEN := $(filter-out MAKEFLAGS MAKEOVERRIDES SHELL CURDIR GNUMAKEFLAGS -%,$(GIVEN))
TAKEN := $(sort $(foreach goal,$(GOALS),$(if $(filter undefined,$(origin TAKES_$(goal))),PYTHON,$(TAKES_$(goal)))))
UNKNOWN := $(filter-out $(TAKEN),$(GIVEN))
ifneq ($(UNKNOWN),)
    $(error `make $(GOALS)` takes no $(firstword $(UNKNOWN))=; it takes: $(or $(TAKEN:=$(EMPTY)=),no variables))
endif

# Keep each value as it was typed, and hand it to the recipes' shells. Only PYTHON and PASSWORD may
# also come from the environment: others, such as NAME or HOST, are set there for other reasons.
FROM_ENVIRONMENT := PYTHON PASSWORD
typed = $(if $(filter command,$(firstword $(origin $1))),yes,$(if $(filter $1,$(FROM_ENVIRONMENT)),yes))
$(foreach name,$(VARIABLES),$(eval override $(name) := $(if $(call typed,$(name)),$$(value $(name)))))
export GOALS PYTHON $(foreach name,$(VARIABLES),$(if $($(name)),$(name)))
ifeq ($(PYTHON),)
    override PYTHON := python3
endif

EDGE  := .venv/edge
TRAIN := .venv/train
DEV   := .venv/dev
MIEN  := $(EDGE)/bin/python -m edge_daemon
TEST  := $(DEV)/bin/python -m pytest
BLAZEFACE := models/face_detection_full_range_sparse.tflite models/face_detection_short_range.tflite
# How to read a dataset: LABELS=calm,smile,frown or CONTEMPT=yes.
CLASSES := $${LABELS:+--labels "$$LABELS"} $${CONTEMPT:+--contempt "$$CONTEMPT"}
# The options common to both ways to train.
TRAINING := $(CLASSES) --name "$${NAME:-expression}" $${EPOCHS:+--epochs "$$EPOCHS"} $${RATE:+--learning-rate "$$RATE"} \
            $${PRECISION:+--precision "$$PRECISION"} $${DEVICES:+--devices "$$DEVICES"}

.PHONY: help setup run classify doctor install upgrade uninstall camera wheel bundle deb release audit test-clean test-reproducible explore train distil \
        convert evaluate try-training test test-faults test-systemd test-v4l2 test-arm64 test-fleet test-home-assistant test-train test-kill test-newcomer \
        test-ray test-api fuzz check format picture docs site lock pin bench bench-day bench-detection bench-instructions \
        bench-soak bench-hour bench-attacks bench-servers bench-viewers bench-architectures clean python edge dev training other-runtimes

##@ Start here
run: setup  ## run the daemon; without SOURCE= it takes the first camera, or else the demo
	@set -- --config "$${CONFIG:-config.yaml}" \
	    $${SOURCE:+--set "camera.source=$$SOURCE"} $${MODEL:+--set "model=$$MODEL"} \
	    $${DETECTOR:+--set "detector.backend=$$DETECTOR"} \
	    $${HOST:+--set "web.host=$$HOST"} $${PORT:+--set "web.port=$$PORT"}; \
	if [ -n "$$PASSWORD" ]; then \
	    MIEN_WEB_PASSWORD=$$(printf '%s\n' "$$PASSWORD" | $(MIEN) hash-password) || exit 2; \
	    export MIEN_WEB_PASSWORD; \
	elif [ -n "$$HOST" ] && ! $(MIEN) check-config "$$@" >/dev/null 2>&1; then \
	    made=$$($(MIEN) new-token) || exit 2; \
	    MIEN_WEB_TOKEN=$${made##* }; export MIEN_WEB_TOKEN; \
	    if $(MIEN) check-config "$$@" >/dev/null 2>&1; then \
	        token=$$(printf '%s\n' "$$made" | sed -n '1s/.* //p'); \
	        echo "Others need this token to watch; it is shown only now. Add it to the page's address: ?token=$$token"; \
	    else unset MIEN_WEB_TOKEN; fi; \
	fi; \
	unset PASSWORD; exec $(MIEN) run "$$@"

classify: setup  ## print the faces and expressions of a picture, a video or a folder
	@if [ -z "$$FILE" ]; then echo "make: name a picture, a video or a folder: make classify FILE=party.jpg" >&2; exit 2; fi; \
	exec $(MIEN) classify --config "$${CONFIG:-config.yaml}" $${OUT:+--out "$$OUT"} -- "$$FILE"

doctor: setup  ## examine this device and say how to fix what is wrong
	@exec $(MIEN) doctor --config "$${CONFIG:-config.yaml}"

train: training  ## train a network on FER2013 or a folder of pictures
	@exec $(TRAIN)/bin/python -m train fit $(TRAINING) --arch "$${NETWORK:-compact}" \
	    $${START:+--start "$$START"} -- "$${DATA:-data/fer2013}"

convert: training other-runtimes  ## convert exports/NAME to models/NAME.tflite and check the result
	@for name in "$${NAME:-expression}" "$${NAME:-expression}-fer2013"; do \
	    case "$$name" in *-fer2013) [ -d "exports/$$name" ] || continue;; esac; \
	    $(TRAIN)/bin/python -m convert --output "models/$$name.tflite" \
	        $${VARIANTS:+--variants "$$VARIANTS"} -- "exports/$$name" || exit; done

test: dev other-runtimes $(BLAZEFACE)  ## run all tests, two files at a time; COVERAGE=80 is the lowest that passes, in percent
	@$(TEST) -n 2 --dist loadfile --durations=20 \
	    $${COVERAGE:+--cov --cov-report=term:skip-covered --cov-fail-under="$$COVERAGE"}

##@ On a device
DEPLOY = "$$PYTHON" -B -m deploy --destdir "$${DESTDIR:-/}"
install: python $(BLAZEFACE)  ## install and start the service, with sudo
	@$(DEPLOY) install

upgrade: python $(BLAZEFACE)  ## upgrade the service to this version, with sudo; goes back if it fails
	@$(DEPLOY) upgrade

uninstall: python  ## remove the service, its configuration and events, with sudo
	@$(DEPLOY) uninstall

camera: python  ## add a camera with a service of its own, with sudo
	@if [ -z "$$NAME" ] || [ -z "$$PORT" ]; then \
	    echo "make: name the camera and its port: sudo make camera NAME=door SOURCE=/dev/video2 PORT=8081" >&2; exit 2; fi; \
	$(DEPLOY) camera --source "$${SOURCE:-auto}" --port "$$PORT" -- "$$NAME"

bundle: $(BLAZEFACE)  ## write dist/mien-….tar.gz, to install without a network
	@python3 -B -m deploy.bundle --arch "$${ARCH:-aarch64}" $${KEY:+--key "$$KEY"} --python "$$(echo "$$PYTHON" | sed 's/.*python//; s/^3*$$/3.13/')"

deb: $(BLAZEFACE)  ## write dist/mien_….deb, the same as a Debian package
	@python3 -B -m deploy.deb --arch "$${ARCH:-aarch64}" $${KEY:+--key "$$KEY"} --python "$$(echo "$$PYTHON" | sed 's/.*python//; s/^3*$$/3.13/')"

wheel: $(BLAZEFACE)  ## write dist/mien-….whl, for pip; it requires what the daemon needs
	@python3 -B -m deploy.wheel

release: dev $(BLAZEFACE)  ## build every file of a release, try them in clean containers and print what to publish, as root
	@python3 -B -m deploy.publish check
	@python3 -B -m deploy.publish build
	MIEN_RELEASED=yes $(TEST) tests/deploy/test_clean_machine.py -m long -x -s -o timeout=3600
	@python3 -B -m deploy.publish show

##@ More about training
explore: training  ## write a page about a dataset and its problems
	@exec $(TRAIN)/bin/python -m train explore $(CLASSES) -- "$${DATA:-data/fer2013}"

distil: training  ## train teachers, then the compact network from their answers
	@exec $(TRAIN)/bin/python -m train distil $(TRAINING) $${START:+--start "$$START"} $${TEACHER:+--teacher "$$TEACHER"} \
	    $${TEACHERS:+--teachers "$$TEACHERS"} -- "$${DATA:-data/fer2013}"

evaluate: training  ## write every figure of models/NAME.tflite to its card, models/NAME.md
	@for name in "models/$${NAME:-expression}" "models/$${NAME:-expression}-fer2013"; do \
	    case "$$name" in *-fer2013) [ -f "$$name.tflite" ] || continue;; esac; \
	    $(TRAIN)/bin/python -m train evaluate --card "$$name.md" -- "$$name.tflite" "$${DATA:-data/fer2013}" || exit; done

try-training: training other-runtimes  ## train and convert a small trial model, in about 10 minutes on two cores
	@$(TRAIN)/bin/python -m train fit $(CLASSES) --name trial --faces-per-class 500 --epochs 20 -- "$${DATA:-data/fer2013}"
	@$(TRAIN)/bin/python -m convert --output models/trial.tflite -- exports/trial
	@echo 'See it at work: make run MODEL=models/trial.tflite'

##@ For developers
setup: edge $(BLAZEFACE)  ## install what the daemon needs, and no more
	@if [ "$$DETECTOR" = mediapipe ]; then $(ENVIRONMENT) edge mediapipe; fi

check: dev  ## lint, check the formatting, the types and the links of the documentation
	$(DEV)/bin/ruff check .
	$(DEV)/bin/hadolint Dockerfile
	$(DEV)/bin/ruff format --check .
	$(DEV)/bin/mypy
	$(SITE)

format: dev  ## format the code
	$(DEV)/bin/ruff check --fix .
	$(DEV)/bin/ruff format .

docs: dev  ## write docs/configuration.md, the man page and the completions of shells
	$(DEV)/bin/python docs/configuration.py > docs/configuration.md
	$(DEV)/bin/python docs/manual.py

SITE = NO_MKDOCS_2_WARNING=1 $(DEV)/bin/mkdocs build --quiet
site: dev  ## write the documentation as a site to build/site; fails at a broken link
	$(SITE)

audit: dev  ## look for known vulnerabilities in the packages of the locks (needs a network)
	@$(DEV)/bin/python -B -m deploy.audit

lock: dev  ## write deploy/locks: the versions and hashes of the packages that devices install
	$(DEV)/bin/python -B -m deploy.lock

pin:  ## name the images of Dockerfile and deploy/fleet by today's digests (needs skopeo)
	@python3 -B -m deploy.pin

picture: dev $(BLAZEFACE)  ## take the pictures of the pages, docs/page.webp and docs/history.webp
	MIEN_PICTURE=docs/page.webp MIEN_HISTORY_PICTURE=docs/history.webp $(TEST) \
	    tests/web/test_page_picture.py tests/history/test_history_page.py -k picture

test-newcomer: dev  ## run the README's commands in a fresh clone, with nothing cached
	$(TEST) tests/docs/test_newcomer.py -m "long or not long" -x -s -o timeout=1800

test-systemd: dev $(BLAZEFACE)  ## install, break, upgrade and uninstall in a booted container, as root
	$(TEST) tests/deploy/test_installed.py tests/deploy/test_upgrades.py -m long -x -s -o timeout=1800

test-clean: dev $(BLAZEFACE)  ## time the README's commands and each way to install, in a clean Debian 12 and 13, as root
	$(TEST) tests/deploy/test_clean_machine.py -m long -x -s -o timeout=3600

test-reproducible: dev $(BLAZEFACE)  ## build wheel, bundle, package and model twice, and compare
	$(TEST) tests/deploy/test_reproducible.py tests/convert/test_convert.py -k "alike or same_bytes" \
	    -m "long or not long" -x -s -o timeout=3600

test-v4l2: dev $(BLAZEFACE)  ## use real V4L2 devices in a QEMU guest, as root (20 minutes)
	$(TEST) tests/capture/test_v4l2_guest.py -m long -x -s -o timeout=3600

test-arm64: dev $(BLAZEFACE)  ## install and run on emulated arm64, as root (20 minutes)
	$(TEST) tests/deploy/test_arm64.py -m long -s -o timeout=3600

test-faults: dev $(BLAZEFACE)  ## take a camera away and give it back 200 times
	@CYCLES="$${CYCLES:-200}" $(TEST) tests/daemon/test_faults.py -m long -s

test-fleet: dev  ## run 200 devices at 5 events a second on one broker
	@MIEN_DEVICES="$${FLEET:-200}" MIEN_SECONDS="$${DURATION_S:-60}" \
	    $(TEST) tests/mqtt/test_fleet.py -m long -s -o timeout=1200

test-home-assistant: dev $(BLAZEFACE)  ## show the daemon in a real Home Assistant (needs Python 3.13, chromium, mosquitto)
	@$(ENVIRONMENT) home-assistant
	$(TEST) tests/mqtt/test_home_assistant_server.py -m long -s -o timeout=600

test-train: dev  ## train on several devices and hosts, and compare with one
	$(TEST) tests/train/test_train_devices.py -m long

test-kill: dev $(BLAZEFACE)  ## kill the daemon and its log 50 times and count the lines
	@MIEN_KILLS="$${KILLS:-50}" $(TEST) -o timeout=1200 tests/events/test_kill.py

test-ray: dev $(BLAZEFACE)  ## classify on a Ray cluster of this machine, and compare
	@$(ENVIRONMENT) dev ray
	$(TEST) tests/batch/test_classify_workers.py -m long

test-api: dev $(BLAZEFACE)  ## send what docs/openapi.yaml allows, 300 times a path
	@MIEN_EXAMPLES="$${EXAMPLES:-300}" $(TEST) -o timeout=1200 tests/web/test_openapi.py

fuzz: dev  ## feed the parsers of HTTP, forms, addresses, streams, pictures and YAML 20,000 inputs each
	@if [ -n "$$TESTS" ]; then set -- "$$TESTS"; else set -- tests/web/test_http_grammar.py \
	    tests/web/test_api.py tests/capture tests/config tests/core/test_picture_headers.py \
	    tests/core/test_picture_damage.py; fi; \
	exec $(TEST) -m hypothesis --hypothesis-profile=fuzz -o timeout=3600 "$$@"

bench: dev edge $(BLAZEFACE)  ## compare the cost of a frame with other ways
	@$(ENVIRONMENT) fer
	@$(ENVIRONMENT) mediapipe
	@$(DEV)/bin/python -m benchmarks.compare $${FRAMES:+"$$FRAMES"}

bench-day: dev edge $(BLAZEFACE)  ## compare whole programs on a camera (needs motion, ustreamer and gcc; 12 minutes)
	@$(DEV)/bin/python -m benchmarks.day

bench-detection: edge $(BLAZEFACE)  ## measure which faces are found; FACELESS is a folder of pictures without faces
	@$(ENVIRONMENT) mediapipe
	@.venv/mediapipe/bin/python -m benchmarks.detection $${FACELESS:+"$$FACELESS"}

bench-instructions: dev edge $(BLAZEFACE)  ## count the instructions of a frame on emulated arm64, as root
	@$(DEV)/bin/python -m benchmarks.instructions

bench-soak: edge $(BLAZEFACE)  ## watch the daemon's memory for 30 minutes
	@$(EDGE)/bin/python -m benchmarks.soak "$${MINUTES:-30}"

bench-hour: dev edge $(BLAZEFACE)  ## run for an hour, and compare log, API, page and reports to the second (needs chromium)
	@$(DEV)/bin/python -m benchmarks.hour "$${MINUTES:-60}"

bench-attacks: dev $(BLAZEFACE)  ## attack the daemon in 512 MiB of memory, as root (4 minutes)
	@$(DEV)/bin/python -m benchmarks.attacks

bench-servers: dev  ## compare the web servers of docs/adr/0003 (two minutes)
	$(DEV)/bin/python -m benchmarks.servers

bench-viewers: dev $(BLAZEFACE)  ## serve a hundred viewers, and compare with Debian's motion (needs motion and ffmpeg)
	@$(DEV)/bin/python -m benchmarks.viewers $${CLIP:+"$$CLIP"}

bench-architectures: dev  ## train and compare candidates for the compact network, for hours
	$(TEST) tests/benchmarks/test_candidates.py -m "long or not long"
	@$(DEV)/bin/python -m benchmarks.architectures $${EPOCHS:+--epochs "$$EPOCHS"} -- "$${DATA:-data/fer2013}"

clean:  ## remove environments and caches; models, exports and events stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache build *.egg-info

help:  ## list the targets and their variables
	@awk -F ' *## ' ' \
	    /^TAKES_/ { split($$0, part, " := *"); sub(/^PYTHON ?/, "", part[2]); takes[substr(part[1], 7)] = part[2]; next } \
	    /^##@ / { printf "\n%s\n", substr($$0, 5); next } \
	    /^[a-z0-9-]+:.* ## / { split($$1, part, ":"); printf "  make %-20s %s\n", part[1], $$2; \
	        list = takes[part[1]]; gsub(/[A-Z_]+/, "&=", list); if (list) printf "  %25s %s\n", "", list }' Makefile

# Environments, one for each need (deploy/environment.py); each is made once and again when
# pyproject.toml or the Python changes.
ENVIRONMENT = "$$PYTHON" -B -m deploy.environment
edge: python
	@$(ENVIRONMENT) edge
training: python
	@$(ENVIRONMENT) train
dev: python
	@$(ENVIRONMENT) dev
other-runtimes: python
	@$(ENVIRONMENT) tflite-runtime
	@$(ENVIRONMENT) metadata-reader

python:
	@version=$$("$$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || version=none; \
	case "$$version" in \
	    3.11|3.12|3.13) exit 0 ;; \
	    none) is="cannot be run" ;; \
	    *) is="is Python $$version" ;; \
	esac; \
	echo "make: PYTHON=$$PYTHON $$is; install Python 3.11, 3.12 or 3.13 and name it: make $$GOALS PYTHON=python3.13" >&2; exit 2

# Any Python 3 will do here; for bundle and deb, PYTHON is the device's.
$(BLAZEFACE):
	@python3 models/fetch_blazeface.py
