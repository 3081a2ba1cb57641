"""Workspace, settings, parameters, YAML files and secrets: what a flow is told before it runs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from latent.config.deployments import DeploymentSettings as DeploymentSettings
    from latent.config.extras import import_extra as import_extra
    from latent.config.parameters import Parameters as Parameters
    from latent.config.parameters import load_flow_parameters as load_flow_parameters
    from latent.config.parameters import load_gates as load_gates
    from latent.config.parameters import load_parameters as load_parameters
    from latent.config.parameters import parse_override as parse_override
    from latent.config.parameters import parse_overrides as parse_overrides
    from latent.config.secrets import Masker as Masker
    from latent.config.secrets import masker_for as masker_for
    from latent.config.section import Section as Section
    from latent.config.settings import CacheSettings as CacheSettings
    from latent.config.settings import CatalogSettings as CatalogSettings
    from latent.config.settings import LimitSettings as LimitSettings
    from latent.config.settings import LoggingSettings as LoggingSettings
    from latent.config.settings import Settings as Settings
    from latent.config.settings import TaskSettings as TaskSettings
    from latent.config.settings import TrackingSettings as TrackingSettings
    from latent.config.sources import read_settings as read_settings
    from latent.config.template import settings_template as settings_template
    from latent.config.variables import interpolate as interpolate
    from latent.config.workspace import Workspace as Workspace
    from latent.config.workspace import ensure_private_dir as ensure_private_dir
    from latent.config.workspace import find_workspace as find_workspace
    from latent.config.yaml_files import load_yaml as load_yaml
    from latent.config.yaml_files import parse_yaml as parse_yaml

_HOME = {
    "CacheSettings": "settings",
    "CatalogSettings": "settings",
    "DeploymentSettings": "deployments",
    "LimitSettings": "settings",
    "LoggingSettings": "settings",
    "Masker": "secrets",
    "Parameters": "parameters",
    "Section": "section",
    "Settings": "settings",
    "TaskSettings": "settings",
    "TrackingSettings": "settings",
    "Workspace": "workspace",
    "ensure_private_dir": "workspace",
    "find_workspace": "workspace",
    "import_extra": "extras",
    "interpolate": "variables",
    "load_flow_parameters": "parameters",
    "load_gates": "parameters",
    "load_parameters": "parameters",
    "load_yaml": "yaml_files",
    "masker_for": "secrets",
    "parse_override": "parameters",
    "parse_overrides": "parameters",
    "parse_yaml": "yaml_files",
    "read_settings": "sources",
    "settings_template": "template",
}

__all__ = [*_HOME]


def __getattr__(name: str) -> object:
    if (module := _HOME.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{module}"), name)
