# What a C++ project finds after an installation, in two layouts of the same files:
#   cpp     cmake --install build --prefix X: where GNUInstallDirs says
#   python  the wheel, inside the package's folder; named by `python -m pyringkernel --cmakedir`
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(rk_version_file ${PROJECT_BINARY_DIR}/cmake/ringkernelConfigVersion.cmake)
write_basic_package_version_file(${rk_version_file} COMPATIBILITY SameMinorVersion)

# rk_install(COMPONENT INCLUDE_DIR LIBRARY_DIR CMAKE_DIR [EXCLUDE_FROM_ALL])
function(rk_install component include_dir library_dir cmake_dir)
  set(config ${PROJECT_BINARY_DIR}/cmake/${component}/ringkernelConfig.cmake)
  configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/ringkernelConfig.cmake.in ${config}
    INSTALL_DESTINATION ${cmake_dir} NO_SET_AND_CHECK_MACRO)
  install(TARGETS ringkernel EXPORT ringkernel_${component}
    ARCHIVE DESTINATION ${library_dir} COMPONENT ${component} ${ARGN}
    INCLUDES DESTINATION ${include_dir})
  install(EXPORT ringkernel_${component} FILE ringkernelTargets.cmake NAMESPACE ringkernel::
    DESTINATION ${cmake_dir} COMPONENT ${component} ${ARGN})
  install(FILES ${config} ${rk_version_file} DESTINATION ${cmake_dir} COMPONENT ${component} ${ARGN})
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/cpp/include/ringkernel DESTINATION ${include_dir}
    COMPONENT ${component} ${ARGN} FILES_MATCHING PATTERN "*.h")
endfunction()

rk_install(cpp ${CMAKE_INSTALL_INCLUDEDIR} ${CMAKE_INSTALL_LIBDIR} ${CMAKE_INSTALL_LIBDIR}/cmake/ringkernel)
rk_install(python include lib share/cmake/ringkernel EXCLUDE_FROM_ALL)

# What handlers are compiled with at run time, for a GPU: _paths.py finds it.
install(DIRECTORY ${PROJECT_SOURCE_DIR}/kernels/cuda DESTINATION device/kernels COMPONENT python EXCLUDE_FROM_ALL
  FILES_MATCHING PATTERN "*.cuh")
