# SPDX-License-Identifier: MIT
#
# What every compilation of ours gets, and nothing that a project around us would inherit.
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

add_library(iomap-flags INTERFACE)
target_compile_definitions(iomap-flags INTERFACE _GNU_SOURCE)
target_compile_options(iomap-flags INTERFACE
	-Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wundef)
if(IOMAP_WERROR)
	target_compile_options(iomap-flags INTERFACE -Werror)
endif()
if(IOMAP_SANITY)
	target_compile_definitions(iomap-flags INTERFACE IOMAPI_SANITY)
endif()
if(IOMAP_PROBES)
	target_compile_definitions(iomap-flags INTERFACE IOMAPI_USDT)
endif()
if(IOMAP_SANITIZE)
	target_compile_options(iomap-flags INTERFACE
		-fsanitize=${IOMAP_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
	target_link_options(iomap-flags INTERFACE -fsanitize=${IOMAP_SANITIZE})
endif()
if(IOMAP_FUZZ)
	target_compile_options(iomap-flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

# iomap_library(NAME DIR SOURCES..): shared and static from the same objects; DIR has NAME's map.
function(iomap_library name dir)
	set(map ${dir}/lib${name}.map)
	add_library(${name}-objects OBJECT ${ARGN})
	set_target_properties(${name}-objects PROPERTIES POSITION_INDEPENDENT_CODE ON)
	# Calls among our own exported functions stay direct, as they are when linked statically.
	target_compile_options(${name}-objects PRIVATE -fno-semantic-interposition)
	target_include_directories(${name}-objects PUBLIC ${PROJECT_SOURCE_DIR}/include)
	target_link_libraries(${name}-objects PRIVATE iomap-flags)
	foreach(kind SHARED STATIC)
		string(REPLACE ${name}STATIC ${name}-static target ${name}${kind})
		string(REPLACE ${name}SHARED ${name} target ${target})
		add_library(${target} ${kind} $<TARGET_OBJECTS:${name}-objects>)
		set_target_properties(${target} PROPERTIES OUTPUT_NAME ${name}
			LINKER_LANGUAGE C
			ARCHIVE_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}
			LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})
		target_include_directories(${target} PUBLIC
			$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
			$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
		target_link_libraries(${target} PRIVATE $<BUILD_INTERFACE:iomap-flags>)
	endforeach()
	set_target_properties(${name} PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION 0
		LINK_DEPENDS ${map})
	target_link_options(${name} PRIVATE -Wl,--version-script=${map})
	if(NOT IOMAP_SANITIZE)
		target_link_options(${name} PRIVATE -Wl,--no-undefined)
	endif()
endfunction()

# Programs of ours: static, so that they run from the build folder and are fast.
function(iomap_program target output_dir)
	add_executable(${target} ${ARGN})
	set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${output_dir})
	target_link_libraries(${target} PRIVATE iomap-flags iomap-sim-static iomap-static)
endfunction()
