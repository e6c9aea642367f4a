# The two commands of the README: `make demo` and `make test`. `make` alone builds build/isobath.
# All of them install the packages that are missing first (tools/packages.txt; root or sudo). The build itself is CMake's.
JOBS ?= $(shell nproc)
CMAKE_FLAGS ?=
BUILD ?= build
TARGET ?= program

.PHONY: all demo test test-asan test-tsan setup install deb clean

all: setup
	@cmake -S . -B $(BUILD) -G Ninja $(CMAKE_FLAGS) > $(BUILD)-configure.log 2>&1 || { cat $(BUILD)-configure.log; exit 1; }
	@mkdir -p $(BUILD) && mv $(BUILD)-configure.log $(BUILD)/configure.log
	@cmake --build $(BUILD) -j $(JOBS) --target $(TARGET)

setup:
	@tools/setup.sh

demo: all
	@tools/demo.sh $(abspath $(BUILD))

# Everything through CTest: the plain build, then ASan/UBSan without the big oracles, then TSan on the pipeline.
test: setup
	@tools/setup.sh tools/packages-tests.txt || echo "some tests will be skipped"
	@$(MAKE) --no-print-directory all TARGET=all
	ctest --test-dir $(BUILD) --output-on-failure -j $(JOBS)
	@$(MAKE) --no-print-directory test-asan test-tsan

test-asan: setup
	@$(MAKE) --no-print-directory all TARGET=all BUILD=build-asan CMAKE_FLAGS="-DISOBATH_SANITIZE=address,undefined -DISOBATH_CUDA=OFF"
	ctest --test-dir build-asan --output-on-failure -j $(JOBS)

test-tsan: setup
	@$(MAKE) --no-print-directory all TARGET=pipeline_tests BUILD=build-tsan CMAKE_FLAGS="-DISOBATH_SANITIZE=thread -DISOBATH_CUDA=OFF"
	TSAN_OPTIONS="suppressions=$(CURDIR)/tests/tsan.supp" ctest --test-dir build-tsan --output-on-failure -L pipeline -j $(JOBS)

# PREFIX is where it will live, DESTDIR where it is put for now (packages).
PREFIX ?= /usr/local
install: setup
	@$(MAKE) --no-print-directory all TARGET="program isobath_installed"
	cmake --install $(BUILD) --prefix $(PREFIX)

# build-deb/isobath_VERSION_ARCH.deb, built for the prefix /usr
deb: setup
	@$(MAKE) --no-print-directory all TARGET="program isobath_installed" BUILD=build-deb CMAKE_FLAGS="-DCMAKE_INSTALL_PREFIX=/usr -DISOBATH_TESTS=OFF $(CMAKE_FLAGS)"
	@tools/deb.sh build-deb

clean:
	rm -rf build build-asan build-tsan build-deb demo-out
