"""Loads FastAPI in two thirds of its time; imported before anything of it, with the first call that needs it.

FastAPI describes OpenAPI itself by some forty pydantic models, which are built when somebody asks for the description,
not when they are imported. And it asks of every type whether it is a model of pydantic 1, which nothing here is: what
it compares with stands for the old pydantic without loading it.
"""

from __future__ import annotations

import importlib

from pydantic import BaseModel

from inos.core.late_imports import put_off_classes

put_off_classes("pydantic.v1", "BaseModel")
# Each model takes over the settings of the class it inherits from as they are when it is made.
BaseModel.model_config["defer_build"] = True
try:
    importlib.import_module("fastapi.openapi.models")
finally:
    del BaseModel.model_config["defer_build"]
