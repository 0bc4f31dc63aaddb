# Take LEFT_OUT, a list of source files, out of the library of kernels once CMake has described it.
# For CMAKE_PROJECT_onnxruntime_INCLUDE.
function(leave_out)
  get_target_property(sources onnxruntime_providers SOURCES)
  list(REMOVE_ITEM sources ${LEFT_OUT})
  set_target_properties(onnxruntime_providers PROPERTIES SOURCES "${sources}")
endfunction()

cmake_language(DEFER CALL leave_out)
