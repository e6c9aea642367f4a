# Compiler flags that every target of isobath shares.
# -ffp-contract=off: the same bits whether or not the compiler likes fused multiply-add; explicit fma where written.
function(isobath_flags target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wvla -Wshadow -Wstrict-prototypes -Wmissing-prototypes
    -Wno-missing-field-initializers -ffp-contract=off -fno-math-errno -fvisibility=hidden)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    target_compile_options(${target} PRIVATE -march=x86-64-v2)
  endif()
  if(ISOBATH_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
  if(ISOBATH_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${ISOBATH_SANITIZE} -fno-omit-frame-pointer
      -fno-sanitize-recover=all)
    target_link_options(${target} PUBLIC -fsanitize=${ISOBATH_SANITIZE})
  endif()
endfunction()
