# Changes to ONNX Runtime's build once CMake has described it: for CMAKE_PROJECT_onnxruntime_INCLUDE.
# LEFT_OUT are source files that are taken out of the library of kernels. EXPORTING are those that define the
# functions of the library, in a build that hides all others.
function(change_onnxruntime)
  get_target_property(sources onnxruntime_providers SOURCES)
  list(REMOVE_ITEM sources ${LEFT_OUT})
  set_target_properties(onnxruntime_providers PROPERTIES SOURCES "${sources}")
  set_source_files_properties(
    ${EXPORTING}
    TARGET_DIRECTORY onnxruntime_session onnxruntime_providers
    PROPERTIES COMPILE_OPTIONS -fvisibility=default)
endfunction()

cmake_language(DEFER CALL change_onnxruntime)
