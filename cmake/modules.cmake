# monopod_module(NAME DEPS module... LIBS library...): a static library of src/NAME/*.c.
#
# The direction of includes is enforced here: a module's include path holds a view with only its own folder and the folders of its
# DEPS, so `#include "task/node.h"` in src/runtime does not build. A wrong arrow between DEPS is a cycle, which CMake refuses.
function(monopod_view name)
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/view/${name})
  file(CREATE_LINK ${PROJECT_SOURCE_DIR}/src/${name} ${CMAKE_BINARY_DIR}/view/${name}/${name} SYMBOLIC)
endfunction()

function(monopod_module name)
  cmake_parse_arguments(arg "" "" "DEPS;LIBS" ${ARGN})
  monopod_view(${name})
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${name}/*.c)
  add_library(${name} STATIC ${sources})
  target_include_directories(${name} PUBLIC ${CMAKE_BINARY_DIR}/view/${name})
  target_link_libraries(${name} PRIVATE flags PUBLIC ${arg_DEPS} ${arg_LIBS})
endfunction()
