# Puts the files that groups.tsv names together into one compilation each, and takes a kernel file apart into two. Read by
# the first project() through CMAKE_PROJECT_TOP_LEVEL_INCLUDES, so that no source is edited; done when every target is known.
#
# A line is a target, a group, a source of the tree. A group's file stands in its target where the first of its members
# stood. CMake's own UNITY_BUILD would put all groups before all other files, and initialisers run in the order of the link:
# here it stays the ordinary build's.
#
# Where the group is `/STUB` the source is a kernel file, compiled once for each CPU capability: what it registers for that
# dispatch stub is compiled apart from the rest. Both halves include the whole file; what a half does not register it does not compile.
#
# Where the group is `!AVX512` the source is a kernel file that registers nothing for AVX-512: PyTorch has such files compiled all the
# same, instantiates their kernels, and keeps a null pointer for each stub. A file that says just that takes its place.
#
# Where the group is options, the source is cold code: it is compiled with them and linked after all others, so that of inline
# functions, of which the link takes the first copy, nothing else gets one that is optimised less.
#
# What no longer fits (a file is gone, is compiled in a way of its own, the macro reads otherwise) is left out, and said: its
# files are compiled as they always were.
file(STRINGS "$ENV{ARRSTACK_GROUPS}" ARRSTACK_GROUP_LINES)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "$ENV{ARRSTACK_GROUPS}")

# What DispatchStub.h defines, and how a half does: for the stubs that are its own only.
set(ARRSTACK_REGISTER [[#define REGISTER_ARCH_DISPATCH(name, arch, fn) \
  template <> name##_DECLARE_DISPATCH_type::FnPtr TORCH_API DispatchStub<name##_DECLARE_DISPATCH_type::FnPtr, struct name##_DECLARE_DISPATCH_type>::arch = fn;]])
set(ARRSTACK_HALF [[
#include <ATen/native/DispatchStub.h>
#undef REGISTER_ARCH_DISPATCH
@taken@
#define ARRSTACK_LEFT(name, arch, fn)
#define ARRSTACK_SECOND(first, second, ...) second
#define ARRSTACK_CHOOSE(...) ARRSTACK_SECOND(__VA_ARGS__)
#define ARRSTACK_APART_@stub@ ~, @own@
#define REGISTER_ARCH_DISPATCH(name, arch, fn) ARRSTACK_CHOOSE(ARRSTACK_APART_##name, @other@, ~)(name, arch, fn)
#pragma clang diagnostic ignored "-Wunused-function"
#include "@path@"
]])

# What DispatchStub.h defines where kernels are registered for no AVX-512.
set(ARRSTACK_NULL [[#ifdef CPU_CAPABILITY_AVX512
#define REGISTER_DISPATCH(name, fn) REGISTER_ARCH_DISPATCH(name, CPU_CAPABILITY, ((void*)(fn) ? nullptr : nullptr))
]])
# A kernel's registration in the form that is read here.
set(ARRSTACK_REGISTRATION "REGISTER_DISPATCH\\(([A-Za-z0-9_]+), ")

# The sources of TARGET: each group's file in place of its members, two halves or null pointers in place of a kernel file, cold code at
# the end.
function(arrstack_regroup target)
  get_target_property(folder ${target} SOURCE_DIR)
  get_target_property(binary ${target} BINARY_DIR)
  get_target_property(listed ${target} SOURCES)
  set(sources "")  # the caller's variables are seen here
  set(unities "")
  set(members "")
  set(last "")
  foreach(source IN LISTS listed)
    cmake_path(ABSOLUTE_PATH source BASE_DIRECTORY "${folder}" NORMALIZE OUTPUT_VARIABLE path)
    string(REGEX REPLACE "\\.[A-Z0-9]+\\.cpp$" "" kernel "${path}")
    if(DEFINED "group_of_${path}")
      set(unity "${binary}/Unity/unity_${group_of_${path}}_cxx.cxx")
      if(path IN_LIST members)
        continue()  # a list may name a file twice, CMake compiles it once
      endif()
      list(APPEND members "${path}")
      string(APPEND "text_of_${unity}" "#include \"${path}\"\n#undef TORCH_ASSERT_ONLY_METHOD_OPERATORS\n#undef TORCH_ASSERT_NO_OPERATORS\n")
      list(APPEND unities "${unity}")
      list(APPEND sources "${unity}")
    elseif(DEFINED "null_of_${path}")
      arrstack_null(${target} "${path}" "${null_of_${path}}" "${binary}/Null")
      list(APPEND sources "${null}")
    elseif(DEFINED "stub_of_${kernel}")
      arrstack_halve(${target} "${path}" ${stub_of_${kernel}} "${binary}/Halves")
      list(APPEND sources ${halves})
    elseif(DEFINED "options_of_${path}")
      set_property(SOURCE "${path}" TARGET_DIRECTORY ${target} APPEND PROPERTY COMPILE_OPTIONS ${options_of_${path}})
      list(APPEND last "${path}")
    else()
      list(APPEND sources "${source}")
    endif()
  endforeach()
  foreach(path IN LISTS "cold_of_${target}")
    if(NOT path IN_LIST last)
      message(STATUS "arrstack: ${path} is no source of ${target}: it cannot be linked last")
    endif()
  endforeach()
  list(APPEND sources ${last})
  list(REMOVE_DUPLICATES unities)
  foreach(unity IN LISTS unities)
    file(CONFIGURE OUTPUT "${unity}" CONTENT "${text_of_${unity}}" @ONLY)
  endforeach()
  list(REMOVE_DUPLICATES sources)
  set_property(TARGET ${target} PROPERTY SOURCES "${sources}")
endfunction()

# Sets `null`: a file in FOLDER, what the kernel file PATH, which includes SOURCE, comes to where it registers nothing.
function(arrstack_null target path source folder)
  get_source_file_property(flags "${path}" TARGET_DIRECTORY ${target} COMPILE_FLAGS)
  get_filename_component(name "${path}" NAME)
  file(STRINGS "${source}" includes REGEX "^#include <ATen/native/")
  file(STRINGS "${source}" lines REGEX "^${ARRSTACK_REGISTRATION}")
  set(text "")
  foreach(include IN LISTS includes)
    string(REGEX MATCH "<(.*)>" header "${include}")
    set(header "${CMAKE_SOURCE_DIR}/aten/src/${CMAKE_MATCH_1}")
    set(declared "")
    if(EXISTS "${header}")
      file(STRINGS "${header}" declared REGEX "DECLARE_DISPATCH\\(")
    endif()
    if(declared)
      string(APPEND text "${include}\n")
    endif()
  endforeach()
  string(APPEND text "namespace at::native {\n")
  foreach(line IN LISTS lines)
    string(REGEX MATCH "^${ARRSTACK_REGISTRATION}" line "${line}")
    string(APPEND text "REGISTER_ARCH_DISPATCH(${CMAKE_MATCH_1}, CPU_CAPABILITY, nullptr)\n")
  endforeach()
  file(CONFIGURE OUTPUT "${folder}/${name}" CONTENT "${text}}\n" @ONLY)
  set_source_files_properties("${folder}/${name}" TARGET_DIRECTORY ${target} PROPERTIES COMPILE_FLAGS "${flags}")
  set(null "${folder}/${name}" PARENT_SCOPE)
endfunction()

# Sets `halves`: two files in FOLDER, compiled as the kernel file PATH is.
function(arrstack_halve target path stub folder)
  get_source_file_property(flags "${path}" TARGET_DIRECTORY ${target} COMPILE_FLAGS)
  get_filename_component(name "${path}" NAME)
  string(REPLACE "REGISTER_ARCH_DISPATCH" "ARRSTACK_TAKEN" taken "${ARRSTACK_REGISTER}")
  set(made "")
  set(own ARRSTACK_TAKEN)
  set(other ARRSTACK_LEFT)
  foreach(half ${stub} rest)
    string(REPLACE ".cpp." ".cpp.${half}." file "${folder}/${name}")
    string(CONFIGURE "${ARRSTACK_HALF}" text @ONLY)
    file(CONFIGURE OUTPUT "${file}" CONTENT "${text}" @ONLY)
    set_source_files_properties("${file}" TARGET_DIRECTORY ${target} PROPERTIES COMPILE_FLAGS "${flags}")
    list(APPEND made "${file}")
    set(own ARRSTACK_LEFT)
    set(other ARRSTACK_TAKEN)
  endforeach()
  set(halves "${made}" PARENT_SCOPE)
endfunction()

# Sets `misfit`: why SOURCE of TARGET cannot be in GROUP, or empty.
function(arrstack_misfit target group source)
  set(path "${CMAKE_SOURCE_DIR}/${source}")
  set(misfit "" PARENT_SCOPE)
  if(NOT EXISTS "${path}")
    set(misfit "is gone" PARENT_SCOPE)
  elseif(group MATCHES "^!")
    file(READ "${path}" text)
    string(REGEX MATCHALL "REGISTER_" all "${text}")
    string(REGEX MATCHALL "\n${ARRSTACK_REGISTRATION}" plain "${text}")
    list(LENGTH all all)
    list(LENGTH plain plain)
    file(READ "${CMAKE_SOURCE_DIR}/aten/src/ATen/native/DispatchStub.h" text)
    string(FIND "${text}" "${ARRSTACK_NULL}" known)
    if(NOT group STREQUAL "!AVX512" OR known LESS 0 OR plain EQUAL 0 OR NOT all EQUAL plain)
      set(misfit "does not register as it did" PARENT_SCOPE)
    endif()
  elseif(group MATCHES "^/(.*)")
    file(READ "${path}" text)
    string(FIND "${text}" "(${CMAKE_MATCH_1}," named)
    file(READ "${CMAKE_SOURCE_DIR}/aten/src/ATen/native/DispatchStub.h" text)
    string(FIND "${text}" "${ARRSTACK_REGISTER}" known)
    if(named LESS 0 OR known LESS 0)
      set(misfit "does not register ${CMAKE_MATCH_1} as it did" PARENT_SCOPE)
    endif()
  else()
    foreach(property COMPILE_OPTIONS COMPILE_DEFINITIONS COMPILE_FLAGS INCLUDE_DIRECTORIES)
      get_source_file_property(own "${path}" TARGET_DIRECTORY ${target} ${property})
      if(own)
        set(misfit "has ${property} of its own" PARENT_SCOPE)
      endif()
    endforeach()
  endif()
endfunction()

function(arrstack_groups)
  set(targets "")
  set(broken "")
  foreach(line IN LISTS ARRSTACK_GROUP_LINES)
    string(REPLACE "\t" ";" fields "${line}")
    list(GET fields 0 target)
    list(GET fields 1 group)
    list(GET fields 2 source)
    if(NOT TARGET ${target})
      continue()
    endif()
    list(APPEND targets ${target})
    if(group MATCHES "^-")
      set(path "${CMAKE_SOURCE_DIR}/${source}")
      if(source MATCHES "^build/(.*)")  # generated there, when the build runs
        set(path "${CMAKE_BINARY_DIR}/${CMAKE_MATCH_1}")
      endif()
      string(REPLACE " " ";" "options_of_${path}" "${group}")
      list(APPEND "cold_of_${target}" "${path}")
      continue()
    endif()
    arrstack_misfit(${target} ${group} "${source}")
    if(group MATCHES "^!")
      if(misfit)
        message(STATUS "arrstack: ${source} ${misfit}: it is compiled as it is")
      else()
        set("null_of_${CMAKE_BINARY_DIR}/${source}.AVX512.cpp" "${CMAKE_SOURCE_DIR}/${source}")
        # No object depends on it any more: where it changes, what it registers is read again.
        set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS
          "${CMAKE_SOURCE_DIR}/${source}" "${CMAKE_SOURCE_DIR}/aten/src/ATen/native/DispatchStub.h")
      endif()
      continue()
    endif()
    if(misfit)
      message(STATUS "arrstack: ${source} ${misfit}: group ${group} is not made")
      list(APPEND broken ${group})
    elseif(group MATCHES "^/(.*)")
      set("stub_of_${CMAKE_BINARY_DIR}/${source}" ${CMAKE_MATCH_1})
    else()
      set("group_of_${CMAKE_SOURCE_DIR}/${source}" ${group})
    endif()
    list(APPEND "members_of_${group}" "${CMAKE_SOURCE_DIR}/${source}")
  endforeach()
  foreach(group IN LISTS broken)
    foreach(path IN LISTS "members_of_${group}")
      unset("group_of_${path}")
    endforeach()
  endforeach()
  list(REMOVE_DUPLICATES targets)
  foreach(target IN LISTS targets)
    arrstack_regroup(${target})
  endforeach()
endfunction()
cmake_language(DEFER CALL arrstack_groups)
