{
  "variables": {
    "common_flags": ["-std=c++17", "-O3", "-ffp-contract=off", "-fvisibility=hidden", "-Wall", "-Wextra"],
    "strict%": 0,
    "tests%": 0,
    "sanitize%": 0
  },
  "target_defaults": {
    "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")", "native/src"],
    "cflags!": ["-O2", "-Wno-unused-parameter"],
    "cflags_cc!": ["-fno-exceptions", "-fno-rtti", "-std=gnu++17", "-std=gnu++20"],
    "cflags_cc": ["<@(common_flags)", "-fexceptions"],
    # The last: an environment that ends (worker.terminate()) refuses exceptions, which is no reason to abort the process.
    "defines": ["NAPI_CPP_EXCEPTIONS", "NAPI_VERSION=8", "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"],
    "xcode_settings": {
      "GCC_ENABLE_CPP_EXCEPTIONS": "YES",
      "CLANG_CXX_LANGUAGE_STANDARD": "c++17",
      "MACOSX_DEPLOYMENT_TARGET": "11.0",
      "OTHER_CPLUSPLUSFLAGS": ["<@(common_flags)", "-fexceptions"]
    },
    "conditions": [
      # Warnings are errors only in a checkout (scripts/install.mjs), so that newer compilers do not break installations.
      ["strict==1", {
        "cflags_cc": ["-Werror"],
        "xcode_settings": { "OTHER_CPLUSPLUSFLAGS": ["-Werror"] }
      }],
      ["sanitize==1", {
        "cflags_cc": ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer", "-g1", "-O0", "-DIDLM_NO_FORCED_INLINE"],
        "ldflags": ["-fsanitize=address,undefined"]
      }]
    ]
  },
  "targets": [
    {
      "target_name": "kernels_scalar",
      "type": "static_library",
      "sources": ["native/src/kernels/isa_scalar.cpp"],
      "cflags": ["-fPIC"]
    },
    {
      # All but the module itself, for the addon and the tests' addon.
      "target_name": "idlm_core",
      "type": "static_library",
      "cflags": ["-fPIC"],
      "sources": [
        "native/src/addon/backend_object.cpp",
        "native/src/addon/cache_object.cpp",
        "native/src/addon/file_mapping.cpp",
        "native/src/addon/model_object.cpp",
        "native/src/addon/program_source.cpp",
        "native/src/addon/requests.cpp",
        "native/src/addon/sampler_object.cpp",
        "native/src/addon/trainer_object.cpp",
        "native/src/addon/values.cpp",
        "native/src/executor/executor.cpp",
        "native/src/executor/heads.cpp",
        "native/src/executor/layout.cpp",
        "native/src/executor/lookahead.cpp",
        "native/src/executor/model.cpp",
        "native/src/executor/operations.cpp",
        "native/src/executor/pool.cpp",
        "native/src/executor/rows.cpp",
        "native/src/executor/shortlists.cpp",
        "native/src/executor/steps.cpp",
        "native/src/executor/workspace.cpp",
        "native/src/gradients/block_backward.cpp",
        "native/src/gradients/block_forward.cpp",
        "native/src/gradients/clean_rows.cpp",
        "native/src/gradients/full_trainer.cpp",
        "native/src/gradients/gated_trainer.cpp",
        "native/src/gradients/parameter_trainer.cpp",
        "native/src/gradients/plan.cpp",
        "native/src/gradients/products.cpp",
        "native/src/gradients/training_program.cpp",
        "native/src/gradients/transposed.cpp",
        "native/src/kernels/dispatch.cpp",
        "native/src/program/lowering.cpp",
        "native/src/program/pack.cpp",
        "native/src/program/patterns.cpp",
        "native/src/program/weights.cpp",
        "native/src/sampling/proposals.cpp",
        "native/src/sampling/requests.cpp",
        "native/src/sampling/sampler.cpp"
      ],
      "dependencies": ["kernels_scalar"],
      "conditions": [
        ["target_arch=='x64'", { "dependencies": ["kernels_avx2", "kernels_avx512vnni"] }]
      ]
    },
    {
      "target_name": "idlm_native",
      "sources": ["native/src/addon/module.cpp"],
      "dependencies": ["idlm_core"]
    }
  ],
  "conditions": [
    ["target_arch=='x64'", {
      "targets": [
        {
          "target_name": "kernels_avx2",
          "type": "static_library",
          "sources": ["native/src/kernels/isa_avx2.cpp"],
          "cflags": ["-fPIC"],
          "cflags_cc": ["-mavx2", "-mfma", "-mf16c", "-falign-functions=64"],
          "xcode_settings": { "OTHER_CPLUSPLUSFLAGS": ["-mavx2", "-mfma", "-mf16c"] }
        },
        {
          "target_name": "kernels_avx512vnni",
          "type": "static_library",
          "sources": ["native/src/kernels/isa_avx512vnni.cpp"],
          "cflags": ["-fPIC"],
          "cflags_cc": [
            "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512vnni", "-mavx2", "-mfma", "-mf16c",
            "-mprefer-vector-width=512", "-falign-functions=64"
          ],
          "xcode_settings": {
            "OTHER_CPLUSPLUSFLAGS": [
              "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512vnni", "-mavx2", "-mfma", "-mf16c"
            ]
          }
        }
      ]
    }],
    # Only in a checkout (scripts/install.mjs).
    ["tests==1", {
      "targets": [
        {
          "target_name": "idlm_native_test",
          "sources": ["native/test/module.cpp"],
          "dependencies": ["idlm_core"]
        }
      ]
    }]
  ]
}
