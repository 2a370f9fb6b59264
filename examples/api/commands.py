"""A command of a module: `federixctl greet romeo example.org --times 2` and the like run it."""

from federix.api import CommandError, Module, Secret, command
from federix.testing import World


class Greeter(Module):
    name = "mod_greeter"

    @command()
    async def greet(self, user: str, host: str, times: int = 1) -> list[str]:
        """Greet a user of this host."""
        if not await self.host.accounts.exists(user):
            raise CommandError(f"there is no account {user}@{host}: make one with `federixctl register`")
        return [f"Hello {user}!"] * times

    @command("greeting_password")
    def unlock(self, host: str, password: Secret) -> bool:
        """Whether this is the password of the greeter."""
        return password == Secret("wherefore")


world = World(modules={"mod_greeter": {}}, own_modules={"mod_greeter": Greeter})
world.register("romeo@example.org")
run = world.server.commands.run
assert world.run(run("greet", {"user": "romeo", "host": "example.org", "times": "2"})) == ["Hello romeo!"] * 2
assert world.run(run("greeting_password", {"host": "example.org", "password": "wherefore"})) is True
try:
    world.run(run("greet", {"user": "tybalt", "host": "example.org"}))
except CommandError as error:
    assert "tybalt@example.org" in str(error)
world.stop()
