"""A module with options of several kinds, and how a configuration is read into them."""

from dataclasses import dataclass
from typing import Literal

from federix.api import AccessRule, HostPattern, Module, Rfc, Secret, Xep, option
from federix.testing import World


class Weather(Module):
    name = "mod_weather"
    implements = (Xep(30, "2.5.0", "items only"), Rfc(6121, "5"))
    features = ("urn:example:weather",)

    @dataclass(frozen=True)
    class Options(Module.Options):
        host: HostPattern = option(HostPattern("weather.@HOST@"), "Its address.")
        every: float = option(3600.0, "How often it looks.", unit="s", minimum=60)
        largest: int | None = option(None, "Longest report; none: any.", unit="bytes", infinity=True)
        scale: Literal["celsius", "fahrenheit"] = option("celsius", "Degrees of whom.")
        places: list[str] = option([], "Where it looks.")
        key: Secret = option(Secret(""), "What its source wants to see.")
        access: AccessRule = option(AccessRule("all"), "Who may ask.")

    options: Options  # so that type checkers know what `self.options` is

    async def on_start(self) -> None:
        self.address = self.options.host.of(self.host.name)
        self.looking = self.scope.later(self.options.every, self.look)

    def look(self) -> None: ...

    def reconfigure(self, old: Options, new: Options) -> None:
        if old.every != new.every:
            self.looking.reset(new.every)


written = {"every": "5 min", "largest": "64 KiB", "places": ["Verona", "Mantua"], "key": "s3cret"}
world = World(modules={"mod_weather": written}, own_modules={"mod_weather": Weather})
weather = world.host("example.org").module(Weather)
assert weather.options.every == 300.0 and weather.options.largest == 65536
assert weather.options.key.reveal() == "s3cret" and repr(weather.options.key) == "Secret(hidden)"
assert weather.address == "weather.example.org"
world.stop()
