# Forelog. `make run` starts it, `make test` tests it, `make help` lists the rest.
#
# One line is the law: a folder of broker/ may include itself and what stands to its left (checked by tests/tidy, and by
# the linker: each layer's tests link only the layers to its left).
LAYERS := base env wire log cache archive cluster prefetch replication groups admin api

MODE ?= release# release, debug, asan, tsan or fuzz
CXX := clang++-19
CCACHE := $(shell command -v ccache)
export CCACHE_NOHASHDIR := 1# sources are named relative to the checkout, so that another clone finds what this one compiled
OUT := build/$(MODE)

WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wnon-virtual-dtor -Wimplicit-fallthrough \
  -Wno-gnu-statement-expression-from-macro-expansion -Wno-gnu-statement-expression -Werror
CXXFLAGS := -std=c++23 -g1 -fno-omit-frame-pointer -I. -I$(OUT)/generated $(WARNINGS) -DBOOST_ASIO_NO_DEPRECATED
FLAGS_release := -O2 -march=x86-64-v2
FLAGS_debug := -O0
FLAGS_asan := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all \
  -fsanitize-ignorelist=tests/support/sanitizer_ignores.txt
FLAGS_tsan := -O1 -fsanitize=thread
FLAGS_fuzz := -O1 -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=all -DFORELOG_FUZZ \
  -fsanitize-ignorelist=tests/support/sanitizer_ignores.txt
CXXFLAGS += $(FLAGS_$(MODE))
LDFLAGS := -fuse-ld=lld $(filter -fsanitize% -fno-sanitize%,$(FLAGS_$(MODE)))

# What each layer needs from outside; a program links what its layers need.
LIBS_base := -lisal -lfmt
LIBS_env := -lleveldb -lcurl -lssl -lcrypto -lexpat -lpthread
LIBS_log := -lz -lsnappy -llz4 -lzstd
LIBS_prefetch := -lthrift
LIBS_test := -lgtest_main -lgmock -lgtest -lpthread
LIBS_all := $(LIBS_prefetch) $(LIBS_log) $(LIBS_env) $(LIBS_base)

# A program's link order: leftmost layer last.
reverse = $(if $(1),$(call reverse,$(wordlist 2,$(words $(1)),$(1))) $(firstword $(1)))
upto = $(if $(1),$(firstword $(1)) $(if $(filter $(2),$(firstword $(1))),,$(call upto,$(wordlist 2,$(words $(1)),$(1)),$(2))))
libs_of = $(patsubst %,$(OUT)/lib/%.a,$(call reverse,$(1)))

.PHONY: all
all: $(OUT)/forelog-broker $(OUT)/forelog-predictor $(OUT)/forelog

# --- compiling -------------------------------------------------------------------------------------------------------
$(OUT)/obj/%.o: %.cc
	@mkdir -p $(@D)
	@echo "  compile $<"
	@$(CCACHE) $(CXX) $(CXXFLAGS) -MMD -MP -c $< -o $@

# Thrift's compiler writes the types of the hint service; nobody edits or commits them.
THRIFT := broker/prefetch/hint_service.thrift
GENERATED := $(OUT)/generated/hint_service/.done
$(GENERATED): $(THRIFT)
	@mkdir -p $(@D)
	@echo "  thrift  $<"
	@thrift -r --gen cpp:no_skeleton -out $(@D) $<
	@touch $@
THRIFT_OBJECTS := $(OUT)/obj/generated/hint_service_types.o $(OUT)/obj/generated/HintService.o
# What Thrift generates copies enumerations as they came, and a newer peer knows more values; whoever looks at one asks first.
$(OUT)/obj/generated/%.o: $(GENERATED)
	@mkdir -p $(@D)
	@echo "  compile $* (generated)"
	@$(CCACHE) $(CXX) $(filter-out -W%,$(CXXFLAGS)) $(if $(findstring undefined,$(CXXFLAGS)),-fno-sanitize=enum) -w -c $(OUT)/generated/hint_service/$*.cpp -o $@

objects = $(patsubst %.cc,$(OUT)/obj/%.o,$(1))
define LAYER
SOURCES_$(1) := $$(wildcard broker/$(1)/*.cc broker/$(1)/*/*.cc)
$(OUT)/lib/$(1).a: $$(call objects,$$(SOURCES_$(1))) $(if $(filter prefetch,$(1)),$(THRIFT_OBJECTS))
endef
$(foreach layer,$(LAYERS),$(eval $(call LAYER,$(layer))))
SOURCES_broker := $(filter-out broker/main.cc,$(wildcard broker/*.cc))
SOURCES_predictor := $(filter-out predictor/main.cc,$(wildcard predictor/*.cc predictor/generators/*.cc))
SOURCES_replay := $(wildcard predictor/replay/*.cc)
SOURCES_cli := $(wildcard broker/cli/*.cc)
SOURCES_support := $(wildcard tests/support/*.cc)
$(OUT)/lib/broker.a: $(call objects,$(SOURCES_broker))
$(OUT)/lib/predictor.a: $(call objects,$(SOURCES_predictor))
$(OUT)/lib/replay.a: $(call objects,$(SOURCES_replay))
$(OUT)/lib/cli.a: $(call objects,$(SOURCES_cli))
$(OUT)/lib/support.a: $(call objects,$(SOURCES_support))
$(OUT)/lib/%.a:
	@mkdir -p $(@D)
	@rm -f $@
	@ar rcs $@ $^

# Whatever includes Thrift's types waits for them.
$(call objects,$(wildcard broker/prefetch/*.cc predictor/*.cc predictor/*/*.cc broker/cli/*.cc broker/*.cc tests/prefetch/*.cc tests/predictor/*.cc tests/simulation/*.cc tests/fuzz/*.cc)): | $(GENERATED)

# --- programs --------------------------------------------------------------------------------------------------------
link = @mkdir -p $(@D) && echo "  link    $@" && $(CXX) $(LDFLAGS) $(filter %.o,$^) $(filter %.a,$^) $(1) -o $@
$(OUT)/forelog-broker: $(OUT)/obj/broker/main.o $(OUT)/lib/broker.a $(call libs_of,$(LAYERS))
	$(call link,$(LIBS_all))
$(OUT)/forelog-predictor: $(OUT)/obj/predictor/main.o $(OUT)/lib/predictor.a $(call libs_of,base env cache prefetch)
	$(call link,-lrdkafka $(LIBS_all))
$(OUT)/forelog: $(call objects,$(SOURCES_cli)) $(OUT)/lib/replay.a $(OUT)/lib/predictor.a $(OUT)/lib/broker.a $(call libs_of,$(LAYERS))
	$(call link,-lrdkafka $(LIBS_all))

$(OUT)/bench/load: $(call objects,$(wildcard integration/bench/*.cc))
	$(call link,-lrdkafka)

# --- tests -----------------------------------------------------------------------------------------------------------
# tests/<layer>/*_test.cc make one program a layer, linked with that layer and those to its left.
TEST_LAYERS := $(foreach layer,$(LAYERS),$(if $(wildcard tests/$(layer)/*_test.cc),$(layer)))
define LAYER_TEST
$(OUT)/tests/$(1)_test: $$(call objects,$$(wildcard tests/$(1)/*.cc)) $(if $(filter base,$(1)),,$(OUT)/lib/support.a) $$(call libs_of,$$(call upto,$(LAYERS),$(1)))
	$$(call link,$(LIBS_test) $(LIBS_all))
endef
$(foreach layer,$(TEST_LAYERS),$(eval $(call LAYER_TEST,$(layer))))
$(OUT)/tests/predictor_test: $(call objects,$(wildcard tests/predictor/*.cc)) $(OUT)/lib/replay.a $(OUT)/lib/predictor.a $(call libs_of,base env cache prefetch)
	$(call link,$(LIBS_test) -lrdkafka $(LIBS_all))
$(OUT)/tests/simulation_test: $(call objects,$(wildcard tests/simulation/*.cc)) $(OUT)/lib/support.a $(OUT)/lib/broker.a $(call libs_of,$(LAYERS))
	$(call link,$(LIBS_test) $(LIBS_all))
TESTS := $(patsubst %,$(OUT)/tests/%_test,$(TEST_LAYERS) $(if $(wildcard tests/predictor/*_test.cc),predictor) $(if $(wildcard tests/simulation/*_test.cc),simulation) fuzz)

# tests/fuzz/<target>_fuzz.cc: with MODE=fuzz a libFuzzer program each; in every mode together in one test over the corpora.
FUZZ_TARGETS := $(patsubst tests/fuzz/%_fuzz.cc,%,$(wildcard tests/fuzz/*_fuzz.cc))
FUZZ_SHARED := $(call objects,tests/fuzz/fuzz.cc tests/wire/every_message.cc) $(OUT)/lib/support.a $(OUT)/lib/broker.a $(call libs_of,$(LAYERS))
$(OUT)/tests/fuzz_test: $(call objects,$(filter-out tests/fuzz/fuzz.cc,$(wildcard tests/fuzz/*.cc))) $(FUZZ_SHARED)
	$(call link,$(LIBS_test) $(LIBS_all))
$(FUZZ_TARGETS:%=$(OUT)/fuzz/%): $(OUT)/fuzz/%: $(OUT)/obj/tests/fuzz/%_fuzz.o $(FUZZ_SHARED)
	$(call link,-fsanitize=fuzzer -lgmock -lgtest $(LIBS_all))

# The simulator over a broker with all planted bugs in it, one of them on at a time. `planted.py write` has made copies of the
# sources that they change; the linker takes these objects before the originals in the layers' libraries.
PLANTED := $(patsubst $(OUT)/planted/%,%,$(wildcard $(OUT)/planted/broker/*.cc $(OUT)/planted/broker/*/*.cc))
$(OUT)/obj/planted/%.o: $(OUT)/planted/%.cc
	@mkdir -p $(@D)
	@echo "  compile $* (planted)"
	@$(CCACHE) $(CXX) $(CXXFLAGS) -MMD -MP -c $< -o $@
$(OUT)/tests/planted_simulation: $(patsubst %.cc,$(OUT)/obj/planted/%.o,$(PLANTED)) \
  $(call objects,$(wildcard tests/simulation/*.cc tests/simulation/planted/*.cc)) $(OUT)/lib/support.a $(OUT)/lib/broker.a $(call libs_of,$(LAYERS))
	$(call link,$(LIBS_test) $(LIBS_all))
.PHONY: planted-sources
planted-sources:
	@tests/simulation/planted/planted.py write $(OUT)/planted

# --- what people call ------------------------------------------------------------------------------------------------
# Everything comes from Debian 12 by name; broker/DECISIONS.md says why each.
DEBIAN_PACKAGES := clang-19 clang-format-19 clang-tidy-19 lld-19 libclang-rt-19-dev ccache libboost1.81-dev libfmt-dev libisal-dev \
  thrift-compiler libthrift-dev librdkafka-dev libleveldb-dev libcurl4-openssl-dev libssl-dev libexpat1-dev libgtest-dev libgmock-dev \
  libbenchmark-dev zlib1g-dev liblz4-dev libsnappy-dev libzstd-dev pkg-config python3 python3-venv kcat curl ca-certificates
RUN_DIRECTORY ?= data

.PHONY: deps run build test integration demo bench simulate tidy format docs clean help
deps:  # install the Debian packages that are missing
	@missing=$$(for p in $(DEBIAN_PACKAGES); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	if [ -n "$$missing" ]; then echo "installing:" $$missing; \
	  $$(test $$(id -u) = 0 || echo sudo) sh -c "apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$(echo $$missing)"; fi

build: deps  # build the three programs into build/release
	@$(MAKE) --no-print-directory -j$$(nproc) MODE=$(MODE) all

run: build  # start broker and predictor on embedded defaults; Ctrl-C stops both
	@integration/run.sh $(OUT) $(RUN_DIRECTORY)

.PHONY: test-programs run-tests
# The quickest of the planted bugs, in one mode: what they prove does not depend on it.
PLANTED_TEST := $(if $(filter release,$(MODE)),$(OUT)/tests/planted_simulation)
test-programs: all $(TESTS) $(PLANTED_TEST)
run-tests: test-programs
	@PLANTED_PROGRAM=$(PLANTED_TEST) tests/run.py --tidy $(TESTS)
test: deps planted-sources  # build and run every test that needs nothing but this machine
	@$(MAKE) --no-print-directory -j$$(nproc) MODE=$(MODE) test-programs
	@$(MAKE) --no-print-directory MODE=$(MODE) run-tests

integration: build  # real clients against real processes on loopback
	@$(MAKE) --no-print-directory MODE=$(MODE) $(OUT)/tests/env_test
	@integration/prepare.sh
	@FORELOG_BUILD=$(abspath $(OUT)) build/clients/python/bin/python -m pytest -q -p no:cacheprovider integration $(PYTEST_ARGUMENTS)

.PHONY: crash
crash: build  # kills the broker under load, loses what was not synced, looks for every promise: make crash RUNS=500 CRASH_SEED=1
	@integration/prepare.sh python
	@FORELOG_BUILD=$(abspath $(OUT)) build/clients/python/bin/python integration/crash/crash.py --runs $(or $(RUNS),25) $(if $(CRASH_SEED),--seed $(CRASH_SEED))

demo: build  # the same job with prefetching off, with read-ahead, with the predictor; prints waits and draws them
	@integration/prepare.sh python
	@FORELOG_BUILD=$(abspath $(OUT)) build/clients/python/bin/python integration/demo/demo.py $(DEMO_ARGUMENTS)

simulate:  # search the simulator's seeds: make simulate SEEDS=1000, or replay one: make simulate SEED=42
	@$(MAKE) --no-print-directory -j$$(nproc) MODE=$(MODE) $(OUT)/tests/simulation_test
	@tests/simulation/simulate.py $(OUT)/tests/simulation_test

.PHONY: fuzz fuzz-programs
fuzz-programs: $(FUZZ_TARGETS:%=$(OUT)/fuzz/%)
fuzz: deps  # libFuzzer with ASan and UBSan on each decoder: make fuzz SECONDS=60 TARGET=wire (all when none is named)
	@$(MAKE) --no-print-directory -j$$(nproc) MODE=fuzz $(if $(TARGET),$(TARGET:%=build/fuzz/fuzz/%),fuzz-programs)
	@tests/fuzz/fuzz.py --seconds $(or $(SECONDS),60) $(or $(TARGET),$(FUZZ_TARGETS))

.PHONY: simulate-planted
simulate-planted: planted-sources  # plant bugs in the broker, one at a time, and see that the simulator finds each
	@$(MAKE) --no-print-directory -j$$(nproc) MODE=$(MODE) $(OUT)/tests/planted_simulation
	@tests/simulation/planted/planted.py run $(OUT)/tests/planted_simulation $(BUGS)

bench: build  # produce, fetch, CPU, memory, start: this machine's figures
	@$(MAKE) --no-print-directory MODE=$(MODE) $(OUT)/bench/load
	@integration/prepare.sh python
	@FORELOG_BUILD=$(abspath $(OUT)) build/clients/python/bin/python integration/bench/figures.py $(BENCH_ARGUMENTS)

# clang-tidy takes long, so it looks at what differs from BASE; ALL=1 for everything.
BASE ?= main
CHANGED = git diff --name-only --diff-filter=d $$(git merge-base $(BASE) HEAD) -- '*.cc'; git ls-files -o --exclude-standard -- '*.cc'
tidy: deps  # check layers, banned calls and style everywhere, and with clang-tidy what differs from BASE
	@tests/tidy/tidy.py
	@$(MAKE) --no-print-directory MODE=debug tidy-sources
.PHONY: tidy-sources
tidy-sources: $(GENERATED)
	@{ $(if $(ALL),git ls-files '*.cc',$(CHANGED)); } | sort -u | \
	  xargs -r -P$$(nproc) -I{} sh -c 'echo "  tidy    {}" && clang-tidy-19 --quiet {} -- $(filter-out -Werror,$(CXXFLAGS)) 2>/dev/null'

.PHONY: bench-cold
bench-cold: build  # read-ahead alone: the same bytes from the archive at 50 ms and from the local disk
	@$(MAKE) --no-print-directory MODE=$(MODE) $(OUT)/bench/load
	@integration/prepare.sh python
	@FORELOG_BUILD=$(abspath $(OUT)) build/clients/python/bin/python integration/bench/cold.py $(BENCH_ARGUMENTS)

.PHONY: bench-kafka
bench-kafka: build  # Apache Kafka and Forelog side by side, row by row; BENCH_ARGUMENTS="--rows consume,end-to-end --repeats 3"
	@$(MAKE) --no-print-directory MODE=$(MODE) $(OUT)/bench/load
	@integration/prepare.sh bench
	@FORELOG_BUILD=$(abspath $(OUT)) build/clients/python/bin/python integration/bench/peers.py $(BENCH_ARGUMENTS)

.PHONY: verify
verify:  # everything long: all tests under each sanitizer, many seeds, real clients against several cores
	@$(MAKE) --no-print-directory test MODE=release
	@$(MAKE) --no-print-directory test MODE=asan
	@$(MAKE) --no-print-directory test MODE=tsan
	@$(MAKE) --no-print-directory simulate MODE=release SEEDS=$(or $(SEEDS),2000)
	@FORELOG_DAYS=90 PRINT=1 build/release/tests/simulation_test --gtest_filter='Months.*'
	@$(MAKE) --no-print-directory simulate-planted MODE=release
	@integration/prepare.sh minio
	@$(MAKE) --no-print-directory fuzz
	@$(MAKE) --no-print-directory integration MODE=release
	@$(MAKE) --no-print-directory crash MODE=release RUNS=500
	@FORELOG_SETTINGS="reactor.cores=2" $(MAKE) --no-print-directory integration MODE=tsan

format:  # rewrite the sources in the project's style
	@git ls-files '*.cc' '*.h' | xargs clang-format-19 -i

clean:  # remove everything built
	@rm -rf build

help:  # this list
	@grep -hE '^[a-z-]+:.*  #' $(MAKEFILE_LIST) | sed -E 's/:.*  # /\t/' | expand -t 14

-include $(shell find $(OUT)/obj -name '*.d' 2>/dev/null)
