"""The package's face."""

import subprocess
import sys


def test_the_package_and_its_arithmetic_load_no_heavy_library() -> None:
    heavy = "{'sqlalchemy', 'cryptography', 'numpy', 'torch', 'flwr'}"
    code = f"import sys, tokenomics; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
