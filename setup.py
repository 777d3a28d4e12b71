"""What growgan is made of, what it needs, and the command it installs."""

from setuptools import setup

# What the tests have run on. Ranges end where nothing was tried: at the next minor release of
# the frameworks, whose graphs and checkpoints a run must find again bit for bit, and at the next
# release that may break its users elsewhere. requirements.lock holds the exact versions.
RUNTIME = [
    "google-crc32c>=1.9,<2",  # checksums of TFRecords without starting TensorFlow
    "importlib_resources>=6.5,<8",  # tensorflow-datasets imports it without saying so
    "jinja2>=3.1.6,<3.2",
    "keras>=3.15.1,<3.16",
    "matplotlib>=3.11,<4",  # brings the fonts of the built-in glyphs
    "numpy>=2.4.6,<2.5",
    "pillow>=12.3,<14",
    "protobuf>=6.33.6,<7",  # reads SavedModels; TensorFlow brings it, and does not name its errors
    "psutil>=7.2.2,<8",  # memory, free and taken
    "pydantic>=2.14,<3",
    "pyyaml>=6.0.3,<7",
    "rich>=15.0,<16",
    "scikit-learn>=1.9,<1.10",  # brings the built-in digits
    "scipy>=1.17,<1.18",
    "tensorboard>=2.21,<2.22",  # tensorflow does not bring it
    "tensorflow>=2.21,<2.22",
    "tensorflow-datasets>=4.9.10,<4.10",
    "typer>=0.29.2,<0.30",
]
TEST = [
    "ai-edge-litert>=2.3,<3",  # runs exported TFLite models: that of tensorflow is to be removed
    "backports-strenum>=1.2.8,<1.3",  # of ai-edge-litert; later ones are for Python 3.10 and before
    "hypothesis>=6.170,<7",
    "imagehash>=4.3.2,<5",  # whose hash the check of data computes for many pictures at once
    "jax>=0.10.2,<0.11",  # the layers are held to the same numbers on a second backend
    "kubeflow-trainer-api>=2.3,<3",  # models of a JobSet and all in it, for the shipped manifests
    "onnxruntime>=1.31.1,<2",  # runs exported ONNX models
    "ovmsclient==2023.1",  # a client of the server's APIs that no one here wrote
    "packaging>=26.0",
    "prometheus-client>=0.26,<0.27",  # reads the page of the local server's metrics
    "pytest>=9.2,<10",
    "pytest-timeout>=2.4,<3",  # ends a test that hangs, with its process
    "pytest-xdist>=3.8,<4",  # two processes for tests: many wait for others that start TensorFlow
    "schemathesis>=4.32.5,<5",  # makes requests of its own for the server's REST API
    "setuptools>=84.2",  # reads this file for tests/test_packaging.py, and builds
]
BEAM = ["apache-beam>=2.77,<2.78"]
VIDEO = ["av>=18.1,<20"]
ONNX = ["tf2onnx>=1.17,<1.18", "onnx>=1.23.2,<1.24"]
SERVE = [
    "fastapi>=0.165,<0.166",
    "grpcio>=1.85.1,<2",
    "h11>=0.16,<0.17",  # by which uvicorn is told to read HTTP
    "starlette>=1.10,<1.11",  # on which fastapi stands, and whose errors it raises
    "tensorflow-serving-api>=2.21,<2.22",  # the protos and stubs of the API that is served
    "uvicorn>=0.54,<0.55",
]
SCHEDULE = [
    *SERVE,  # a new version answers a server before it is left alone
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
# Outside the lock: only tests/benchmarks compares with it. The default Linux wheel carries CUDA
# libraries; the CPU wheel of the same version gives the same figures on a CPU.
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
