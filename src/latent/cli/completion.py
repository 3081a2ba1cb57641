"""
What the shell offers when the user presses Tab.

It runs at every key press: it looks at folder names, imports no flow and never fails.
"""

from __future__ import annotations


def complete_flow(incomplete: str) -> list[str]:
    """The workspace's flow folders, and flows that need none, that begin with what is typed so far."""
    from latent.config import find_workspace
    from latent.errors import LatentError
    from latent.flows import READY

    try:
        folders = find_workspace().flow_folders()
    except (LatentError, OSError):
        return []  # a message here would land in the middle of the user's command line
    return [name for name in dict.fromkeys((*folders, *READY)) if name.startswith(incomplete)]


def complete_deployment(incomplete: str) -> list[str]:
    """The deployments of the settings that begin with what is typed so far."""
    from latent.config import find_workspace
    from latent.errors import LatentError

    try:
        deployments = find_workspace().settings.deployments
    except (LatentError, OSError):
        return []
    return [each.name for each in deployments if each.name.startswith(incomplete)]
