"""What every room's tests share: the fixtures that users get, too."""

pytest_plugins = ["latent.testing.plugin"]
