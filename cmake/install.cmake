# SPDX-License-Identifier: MIT
#
# An installed tree may be moved: everything in it finds the rest by relative paths.
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/iomap)
set(pc_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

install(DIRECTORY include/iomap TYPE INCLUDE FILES_MATCHING PATTERN "*.h")
install(FILES man/iomap.7 man/iomap_sim.7 DESTINATION ${CMAKE_INSTALL_MANDIR}/man7)
install(TARGETS iomap iomap-static iomap-sim iomap-sim-static EXPORT iomap-targets)
install(EXPORT iomap-targets NAMESPACE iomap:: DESTINATION ${package_dir})
configure_package_config_file(cmake/iomapConfig.cmake.in iomapConfig.cmake
	INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(iomapConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/iomapConfig.cmake ${PROJECT_BINARY_DIR}/iomapConfigVersion.cmake
	DESTINATION ${package_dir})

# ${pcfiledir} is where the .pc file stands; up from there to the prefix.
file(RELATIVE_PATH PC_UP /prefix/${pc_dir} /prefix)
foreach(pc libiomap libiomap-sim)
	configure_file(${pc}.pc.in ${pc}.pc @ONLY)
	install(FILES ${PROJECT_BINARY_DIR}/${pc}.pc DESTINATION ${pc_dir})
endforeach()
