"""The training process on a system without anonymous files, whose processes share no memory."""

import os
import sys

from roberta_model.training import process

if __name__ == "__main__":
    del os.memfd_create
    process.leave(process.main(sys.argv[1:2]))
