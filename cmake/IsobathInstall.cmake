# What `make install` and `make deb` put where: the command, libisobath.a with its headers and isobath.pc, the models, man pages
# and bash completion (both printed by the command itself, from the tables that --help prints), the example. The CUDA module
# installs itself where it is built.
set(lib lib) # where the command looks for the CUDA module, and what ISOBATH_LIBDIR says

# One archive of the two that the build is made of.
file(WRITE ${CMAKE_BINARY_DIR}/libisobath.mri "create libisobath.a\naddlib libisobath_core.a\naddlib libisobath_ops.a\nsave\nend\n")
add_custom_command(OUTPUT libisobath.a COMMAND ${CMAKE_AR} -M < libisobath.mri DEPENDS isobath_core isobath_ops
  WORKING_DIRECTORY ${CMAKE_BINARY_DIR} COMMENT "Joining libisobath.a")

set(man_pages ${CMAKE_BINARY_DIR}/man/isobath.1)
add_custom_command(OUTPUT man/isobath.1 COMMAND ${CMAKE_COMMAND} -E make_directory man
  COMMAND isobath help --man > man/isobath.1 DEPENDS isobath WORKING_DIRECTORY ${CMAKE_BINARY_DIR})
file(STRINGS cli/main.c command_lines REGEX "^    {\"[a-z]+\", cmd_")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS cli/main.c)
foreach(line ${command_lines})
  string(REGEX REPLACE "^    {\"([a-z]+)\".*" "\\1" command ${line})
  set(page man/isobath-${command}.1)
  add_custom_command(OUTPUT ${page} COMMAND ${CMAKE_COMMAND} -E make_directory man
    COMMAND isobath help --man ${command} > ${page} DEPENDS isobath WORKING_DIRECTORY ${CMAKE_BINARY_DIR})
  list(APPEND man_pages ${CMAKE_BINARY_DIR}/${page})
endforeach()
add_custom_command(OUTPUT isobath.bash COMMAND isobath help --bash > isobath.bash DEPENDS isobath WORKING_DIRECTORY ${CMAKE_BINARY_DIR})
add_custom_target(isobath_installed ALL DEPENDS ${CMAKE_BINARY_DIR}/libisobath.a ${man_pages} ${CMAKE_BINARY_DIR}/isobath.bash)

# The library is static, so its users link what it stands on: everything is in Requires and Libs. Paths are relative to the
# .pc file: the installation may be moved.
set(pc_libs "")
if(OPENEXR_FOUND)
  string(APPEND pc_libs " -lOpenEXRCore")
endif()
configure_file(cmake/isobath.pc.in isobath.pc @ONLY)

install(TARGETS isobath RUNTIME DESTINATION bin)
install(FILES ${CMAKE_BINARY_DIR}/libisobath.a DESTINATION ${lib})
install(FILES ${CMAKE_BINARY_DIR}/isobath.pc DESTINATION ${lib}/pkgconfig)
install(DIRECTORY include/isobath DESTINATION include FILES_MATCHING PATTERN "*.h")
install(DIRECTORY assets/models/ DESTINATION share/isobath/models FILES_MATCHING PATTERN "*.safetensors")
install(FILES ${man_pages} DESTINATION share/man/man1)
install(FILES ${CMAKE_BINARY_DIR}/isobath.bash DESTINATION share/bash-completion/completions RENAME isobath)
install(FILES LICENSE NOTICE README.md DESTINATION share/doc/isobath)
install(FILES examples/depth.c DESTINATION share/doc/isobath/examples)
