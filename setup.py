"""Package metadata of growgan: dependencies, extras, packages and the console command."""

from setuptools import setup

# Each range starts at a tested version and ends before the next untested release that may break us:
# the next minor release of frameworks, which must reproduce runs bit for bit, and of packages that
# break users in minor releases; else the next major one. requirements.lock has exact versions.
RUNTIME = [
    "google-crc32c>=1.9,<2",  # checksums of TFRecords without starting TensorFlow
    "importlib_resources>=6.5,<8",  # an undeclared dependency of tensorflow-datasets
    "jinja2>=3.1.6,<3.2",
    "keras>=3.15.1,<3.16",
    "matplotlib>=3.11,<4",  # contains the fonts of the built-in glyphs
    "numpy>=2.4.6,<2.5",
    "pillow>=12.3,<14",
    "protobuf>=6.33.6,<7",  # to read SavedModels and catch protobuf's own errors
    "psutil>=7.2.2,<8",  # measures free and used memory
    "pydantic>=2.14,<3",
    "pyyaml>=6.0.3,<7",
    "rich>=15.0,<16",
    "scikit-learn>=1.9,<1.10",  # contains the built-in digits
    "scipy>=1.17,<1.18",
    "tensorboard>=2.21,<2.22",  # not a dependency of tensorflow
    "tensorflow>=2.21,<2.22",
    "tensorflow-datasets>=4.9.10,<4.10",
    "typer>=0.29.2,<0.30",
]
TEST = [
    "ai-edge-litert>=2.3,<3",  # runs exported TFLite models; tensorflow will drop its interpreter
    "backports-strenum>=1.2.8,<1.3",  # for ai-edge-litert; later versions need Python <= 3.10
    "hypothesis>=6.170,<7",
    "imagehash>=4.3.2,<5",  # reference for the perceptual hash of the data check
    "jax>=0.10.2,<0.11",  # second backend, on which layers must compute the same numbers
    "kubeflow-trainer-api>=2.3,<3",  # validates the shipped JobSet manifests
    "onnxruntime>=1.31.1,<2",  # runs exported ONNX models
    "ovmsclient==2023.1",  # third-party client for the server's APIs
    "packaging>=26.0",
    "prometheus-client>=0.26,<0.27",  # parses the metrics page of the local server
    "pytest>=9.2,<10",
    "pytest-timeout>=2.4,<3",  # ends a test that hangs, with its process
    "pytest-xdist>=3.8,<4",  # runs tests in two processes: many wait while TensorFlow starts
    "schemathesis>=4.32.5,<5",  # generates requests for the server's REST API
    "setuptools>=84.2",  # reads this file for tests/test_packaging.py, and builds packages
]
BEAM = ["apache-beam>=2.77,<2.78"]
VIDEO = ["av>=18.1,<20"]
ONNX = ["tf2onnx>=1.17,<1.18", "onnx>=1.23.2,<1.24"]
SERVE = [
    "fastapi>=0.165,<0.166",
    "grpcio>=1.85.1,<2",
    "h11>=0.16,<0.17",  # HTTP parser that we choose for uvicorn
    "starlette>=1.10,<1.11",  # base of fastapi; we use its errors directly
    "tensorflow-serving-api>=2.21,<2.22",  # protos and gRPC stubs of the served API
    "uvicorn>=0.54,<0.55",
]
SCHEDULE = [
    *SERVE,  # the pipeline tests each new version on a server
    # Dagster releases its packages together; each needs its own version of the others.
    "dagster==1.13.27",
    "dagster-webserver==1.13.27",
]
DEV = [
    *TEST,
    *BEAM,
    *VIDEO,
    *ONNX,
    *SCHEDULE,
    "import-linter>=2.16,<3",
    "mypy>=2.4,<2.5",
    "pre-commit>=4.7,<5",
    "ruff>=0.17.5,<0.18",
    "types-PyYAML>=6.0.12",
]
# Not in requirements.lock: only tests/benchmarks compare with torch. The default Linux wheel
# includes CUDA libraries; the CPU wheel of the same version gives the same figures on a CPU.
BENCH = ["torch==2.13.0"]

setup(
    name="growgan",
    version="0.1.0",
    description="Train progressively grown GANs with Keras, and put every stage into service.",
    python_requires=">=3.11,<3.14",
    packages=[
        "layers",
        "savedmodels",
        "savedmodels.repository",
        "savedmodels.server",
        "pipeline",
        "pipeline.augmentation",
        "pipeline.cli",
        "pipeline.config",
        "pipeline.data",
        "pipeline.data.checking",
        "pipeline.data.sources",
        "pipeline.errors",
        "pipeline.evaluation",
        "pipeline.evaluation.features",
        "pipeline.evaluation.statistics",
        "pipeline.generating",
        "pipeline.interop",
        "pipeline.families",
        "pipeline.families.official",
        "pipeline.families.progan",
        "pipeline.families.stylegan",
        "pipeline.families.stylegan2",
        "pipeline.objectives",
        "pipeline.orchestration",
        "pipeline.orchestration.dagster",
        "pipeline.orchestration.kubernetes",
        "pipeline.orchestration.runs",
        "pipeline.orchestration.steps",
        "pipeline.sampling",
        "pipeline.training",
        "pipeline.untrusted",
        "pipeline.training.alarms",
        "pipeline.training.distributed",
        "pipeline.training.loop",
        "pipeline.training.optimization",
        "pipeline.training.preflight",
        "pipeline.training.synthesis",
        "pipeline.training_run",
    ],
    package_data={
        "pipeline": [
            "presets/*.yaml",
            "orchestration/deploy/*.*",
            "orchestration/deploy/serving/*",
            "orchestration/templates/*",
            "evaluation/templates/*",
        ],
    },
    install_requires=RUNTIME,
    extras_require={
        "beam": BEAM,
        "video": VIDEO,
        "onnx": ONNX,
        "schedule": SCHEDULE,
        "serve": SERVE,
        "test": TEST,
        "dev": DEV,
        "bench": BENCH,
    },
    entry_points={"console_scripts": ["growgan=pipeline.cli:main"]},
)
