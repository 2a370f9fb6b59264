"""From names in the configuration to running modules: where they are found, in which order they start."""

from __future__ import annotations

import importlib.metadata
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from federix.api import Module, option
from federix.core.loader import GROUP, Catalogue, ModuleError, ordered
from federix.server.config import Config
from federix.testing import World

from .support import WorldTestCase

WORKING = """
from federix.api import Module

class Working(Module):
    name = "mod_working"
"""


class A(Module):
    name = "mod_a"


class B(Module):
    name = "mod_b"
    requires = (A,)


class C(Module):
    name = "mod_c"
    requires = (B, A)


class Alone(Module):
    name = "mod_alone"


class FindingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = self.folder()
        self.catalogue = Catalogue({"mod_a": A}, [self.directory])
        self.addCleanup(self.forget, set(sys.modules))

    def folder(self) -> Path:
        path = tempfile.mkdtemp(prefix="federix-")
        self.addCleanup(shutil.rmtree, path)
        return Path(path)

    def forget(self, known: set[str]) -> None:
        for name in set(sys.modules) - known:
            if name.startswith(("federix_modules_dir.", "outside")):
                del sys.modules[name]

    def write(self, name: str, text: str) -> Path:
        path = self.directory / f"{name}.py"
        path.write_text(text)
        return path

    def broken(self, name: str, why: str) -> None:
        error = self.assertRaises(ModuleError, self.catalogue.find, name)
        self.assertRegex(str(error), why)

    def outside(self, text: str) -> None:
        """A package that is installed, called `outside`."""
        packages = self.folder()
        (packages / "outside.py").write_text(text)
        self.patch(sys, "path", [str(packages), *sys.path])

    def offer(self, name: str, value: str) -> None:
        entry = importlib.metadata.EntryPoint(name, value, GROUP)

        def entry_points(*, group: str, name: str) -> list[Any]:
            return [entry] if (group, name) == (entry.group, entry.name) else []

        self.patch(sys.modules["federix.core.loader"], "entry_points", entry_points)

    def test_one_of_our_own(self) -> None:
        self.assertIs(self.catalogue.find("mod_a"), A)

    def test_one_that_is_nowhere(self) -> None:
        for name in ("mod_nowhere", "nowhere.at.All", "federix.Nowhere2.X", "", "."):
            self.assertIsNone(self.catalogue.find(name), name)

    def test_one_in_a_directory(self) -> None:
        self.write("mod_working", WORKING)
        found = self.catalogue.find("mod_working")
        assert found is not None
        self.assertEqual((found.__name__, found.name), ("Working", "mod_working"))
        self.assertIs(self.catalogue.find("mod_working"), found)

    def test_one_in_a_directory_is_the_same_until_its_file_changes(self) -> None:
        path = self.write("mod_working", WORKING)
        found = self.catalogue.find("mod_working")
        self.assertIs(Catalogue({}, [self.directory]).find("mod_working"), found)
        # Elsewhere it is another one.
        elsewhere = self.folder()
        (elsewhere / "mod_working.py").write_text(WORKING)
        self.assertIsNot(Catalogue({}, [elsewhere]).find("mod_working"), found)
        found = Catalogue({}, [self.directory]).find("mod_working")
        path.write_text(f"{WORKING}    features = ('new',)\n")
        changed = Catalogue({}, [self.directory]).find("mod_working")
        assert changed is not None
        self.assertEqual(changed.features, ("new",))

    def test_files_of_one_name_in_several_directories_are_each_the_same_until_they_change(self) -> None:
        directories = [self.directory, self.folder(), self.folder()]
        for directory in directories:
            (directory / "mod_working.py").write_text(WORKING)
        found = [Catalogue({}, [directory]).find("mod_working") for directory in directories]
        self.assertEqual(len(set(found)), 3)
        self.assertEqual([Catalogue({}, [directory]).find("mod_working") for directory in directories], found)

    def test_our_own_comes_before_one_in_a_directory(self) -> None:
        self.write("mod_a", WORKING)
        self.assertIs(self.catalogue.find("mod_a"), A)

    def test_a_directory_that_is_not_there_holds_nothing(self) -> None:
        self.assertIsNone(Catalogue({}, [self.directory / "missing"]).find("mod_x"))

    def test_a_name_is_no_way_out_of_the_directory(self) -> None:
        (self.directory / "inside").mkdir()
        self.write("secret", WORKING)
        catalogue = Catalogue({}, [self.directory / "inside"])
        self.assertIsNone(catalogue.find("../secret"))
        self.assertIsNone(catalogue.find("..secret"))

    def test_a_file_with_a_bug_is_named_with_it(self) -> None:
        path = self.write("mod_bug", "1 / 0")
        self.broken("mod_bug", f"{path}:1: ZeroDivisionError: division by zero")

    def test_a_file_that_is_no_python_is_named(self) -> None:
        path = self.write("mod_bug", "class")
        self.broken("mod_bug", f"{path}:1: SyntaxError")

    def test_a_file_that_imports_what_is_not_there_is_named(self) -> None:
        self.write("mod_bug", "import nowhere_at_all")
        self.broken("mod_bug", "mod_bug.*ModuleNotFoundError.*nowhere_at_all")

    def test_a_file_that_failed_leaves_nothing_behind_and_may_be_mended(self) -> None:
        self.write("mod_working", "1 / 0")
        self.broken("mod_working", "ZeroDivisionError")
        self.assertFalse("federix_modules_dir.mod_working" in sys.modules)
        self.write("mod_working", WORKING)
        self.assertIsNotNone(self.catalogue.find("mod_working"))

    def test_the_line_that_failed_is_named_in_whatever_it_calls(self) -> None:
        path = self.write("mod_bug", "def wrong():\n    raise ValueError('no')\n\nwrong()")
        self.broken("mod_bug", f"{path}:2: ValueError: no")

    def test_a_file_is_called_as_its_module(self) -> None:
        path = self.write("mod_other", WORKING)
        self.broken("mod_other", f"{path}: the class Working says name = 'mod_working', and must say 'mod_other'")

    def test_a_module_has_a_name(self) -> None:
        self.write("mod_unnamed", WORKING.replace("name =", "title ="))
        self.broken("mod_unnamed", "mod_unnamed: the class Working must say its name")

    def test_a_file_that_ends_the_program_is_named_instead(self) -> None:
        path = self.write("mod_bug", "import sys\nsys.exit('bye')")
        self.broken("mod_bug", f"{path}:2: SystemExit: bye")
        self.outside("raise SystemExit(2)")
        self.broken("outside.Working", "outside.Working: SystemExit: 2")

    def test_what_a_module_requires_are_classes(self) -> None:
        self.write("mod_working", WORKING + "    requires = ('mod_roster',)\n")
        self.broken("mod_working", "mod_working: requires 'mod_roster', which is not the class of a module")

    def test_a_file_has_one_module_in_it(self) -> None:
        self.write("mod_none", "from federix.api import Module")
        self.broken("mod_none", "exactly one class.*has 0")
        self.write("mod_two", WORKING + "class Other(Module):\n    name = 'mod_other'\n")
        self.broken("mod_two", "exactly one class.*has 2")

    def test_one_by_its_dotted_path(self) -> None:
        self.outside(WORKING)
        found = self.catalogue.find("outside.Working")
        assert found is not None
        self.assertEqual(found.name, "mod_working")

    def test_a_dotted_path_to_what_is_no_module(self) -> None:
        self.outside("number = 1\nclass Plain: ...")
        for name in ("outside.number", "outside.Plain"):
            self.broken(name, f"{name} is not a Module")

    def test_a_dotted_path_to_nothing_in_a_package_that_is_there(self) -> None:
        self.outside(WORKING)
        self.broken("outside.Missing", "outside.Missing.*Missing")

    def test_a_dotted_path_into_a_package_with_a_bug(self) -> None:
        self.outside("1 / 0")
        self.broken("outside.Working", "outside.Working: ZeroDivisionError")

    def test_a_dotted_path_into_a_package_that_lacks_another(self) -> None:
        self.outside("import nowhere_at_all")
        self.broken("outside.Working", "outside.Working.*nowhere_at_all")

    def test_one_that_a_package_offers(self) -> None:
        self.outside(WORKING)
        self.offer("mod_offered", "outside:Working")
        found = self.catalogue.find("mod_offered")
        assert found is not None
        self.assertEqual(found.__name__, "Working")

    def test_one_that_a_package_offers_and_does_not_have(self) -> None:
        self.outside(WORKING)
        self.offer("mod_offered", "outside:Missing")
        self.broken("mod_offered", r"mod_offered \(outside:Missing\): AttributeError")

    def test_what_a_package_offers_and_is_no_module(self) -> None:
        self.outside("number = 1")
        self.offer("mod_offered", "outside:number")
        self.broken("mod_offered", "outside:number is not a Module")


class OrderTests(SynchronousTestCase):
    def test_each_stands_behind_those_it_requires(self) -> None:
        for classes in ([C, B, A], [B, C, A], [A, B, C], [C, A, B]):
            self.assertEqual(ordered(classes), [A, B, C])

    def test_otherwise_they_stand_as_given(self) -> None:
        self.assertEqual(ordered([Alone, A, B]), [Alone, A, B])
        self.assertEqual(ordered([B, Alone, A]), [A, B, Alone])
        self.assertEqual(ordered([]), [])

    def test_one_that_is_required_and_missing_is_named(self) -> None:
        error = self.assertRaises(ModuleError, ordered, [C, A])
        self.assertIn("mod_c requires mod_b", str(error))

    def test_a_circle_is_shown(self) -> None:
        class X(Module):
            name = "mod_x"

        class Y(Module):
            name = "mod_y"
            requires = (X,)

        self.patch(X, "requires", (Y,))
        error = self.assertRaises(ModuleError, ordered, [X, Y])
        self.assertIn("mod_x → mod_y → mod_x", str(error))

    def test_one_that_requires_itself_is_a_circle(self) -> None:
        class X(Module):
            name = "mod_x"

        self.patch(X, "requires", (X,))
        self.assertRaises(ModuleError, ordered, [X])


class Recording(Module):
    """Writes down its life."""

    said: ClassVar[list[str]] = []

    @dataclass(frozen=True)
    class Options(Module.Options):
        number: int = option(1, "A number.")
        fail: bool = option(False, "Whether the start fails.")

    async def on_start(self) -> None:
        self.say("starts")
        if self.options.fail:
            raise ZeroDivisionError(self.name)

    async def on_stop(self) -> None:
        self.say("stops")

    def reconfigure(self, old: Any, new: Any) -> None:
        assert self.options is new
        self.say(f"{old.number}→{new.number}")
        if new.number == 13:
            raise ZeroDivisionError

    def say(self, what: str) -> None:
        self.said.append(f"{self.name.removeprefix('mod_')} {what}")


class One(Recording):
    name = "mod_one"


class Two(Recording):
    name = "mod_two"
    requires = (One,)


class Three(Recording):
    name = "mod_three"
    requires = (Two,)


class RunningTests(WorldTestCase):
    def setUp(self) -> None:
        self.said: list[str] = []
        self.patch(Recording, "said", self.said)

    def arrange(self, start: bool = True, **modules: dict[str, Any]) -> World:
        self.world = self.new_world(modules=modules, own_modules={c.name: c for c in (One, Two, Three)}, start=start)
        return self.world

    def reload(self, **modules: dict[str, Any]) -> list[str]:
        """What is said while the server takes these modules."""
        self.said.clear()
        settings = {**self.world.settings, "modules": modules}
        self.world.run(self.world.server.reload(self.world.configure(settings)))
        return list(self.said)

    def test_they_start_in_order_and_stop_in_reverse(self) -> None:
        world = self.arrange(mod_three={}, mod_one={}, mod_two={})
        self.assertEqual(self.said, ["one starts", "two starts", "three starts"])
        self.said.clear()
        world.stop()
        self.assertEqual(self.said, ["three stops", "two stops", "one stops"])

    def test_one_that_cannot_start_stops_those_before_it(self) -> None:
        world = self.arrange(start=False, mod_one={}, mod_two={}, mod_three={"fail": True})
        self.assertRaises(ZeroDivisionError, world.run, world.server.start())
        self.assertEqual(self.said, ["one starts", "two starts", "three starts", "two stops", "one stops"])
        self.assertEqual(world.clock.getDelayedCalls(), [])

    def test_what_did_not_change_is_left_alone(self) -> None:
        self.arrange(mod_one={"number": 5}, mod_two={})
        module = self.world.host("example.org").module(One)
        self.assertEqual(self.reload(mod_one={"number": 5}, mod_two={}), [])
        self.assertIs(self.world.host("example.org").module(One), module)

    def test_what_is_new_starts_and_what_is_gone_stops(self) -> None:
        self.arrange(mod_one={}, mod_two={})
        self.assertEqual(self.reload(mod_one={}), ["two stops"])
        self.assertEqual(self.reload(mod_one={}, mod_two={}, mod_three={}), ["two starts", "three starts"])
        self.assertEqual(self.reload(), ["three stops", "two stops", "one stops"])

    def test_what_requires_one_that_starts_anew_does_so_too(self) -> None:
        """It may hold the old one."""
        self.arrange(mod_one={}, mod_two={}, mod_three={})

        class NewOne(One):
            pass

        self.world._modules = Catalogue({"mod_one": NewOne, "mod_two": Two, "mod_three": Three})
        said = self.reload(mod_one={}, mod_two={}, mod_three={})
        self.assertEqual(said[:3], ["three stops", "two stops", "one stops"])
        self.assertEqual(said[3:], ["one starts", "two starts", "three starts"])

    def test_options_are_swapped_in_place(self) -> None:
        self.arrange(mod_one={})
        module = self.world.host("example.org").module(One)
        self.assertEqual(self.reload(mod_one={"number": 2}), ["one 1→2"])
        self.assertIs(self.world.host("example.org").module(One), module)
        self.assertEqual(module.options.number, 2)

    def test_options_of_one_in_a_directory_are_swapped_in_place_too(self) -> None:
        world = self.arrange()
        folder = world.directory / "modules"
        folder.mkdir()
        self.addCleanup(sys.modules.pop, "federix_modules_dir.mod_own", None)
        (folder / "mod_own.py").write_text(
            "from tests.core.test_loader import Recording\n\nclass Own(Recording):\n    name = 'mod_own'\n"
        )

        def reload(number: int) -> list[str]:
            self.said.clear()
            settings = {**world.settings, "modules_dir": [str(folder)], "modules": {"mod_own": {"number": number}}}
            world.run(world.server.reload(Config.load(settings, directory=world.directory)))
            return list(self.said)

        self.assertEqual(reload(1), ["own starts"])
        self.assertEqual(reload(1), [])
        self.assertEqual(reload(2), ["own 1→2"])

    def test_one_that_cannot_take_its_options_does_not_stop_the_others(self) -> None:
        self.arrange(mod_one={}, mod_two={})
        said = self.reload(mod_one={"number": 13}, mod_two={"number": 2})
        self.assertEqual(said, ["one 1→13", "two 1→2"])
        self.failures(ZeroDivisionError)
        self.assertEqual(self.world.host("example.org").module(One).options.number, 13)

    def test_one_that_requires_what_is_taken_away_is_refused_before_anything_stops(self) -> None:
        self.arrange(mod_one={}, mod_two={})
        self.assertRaises(ModuleError, self.reload, mod_two={})
        self.assertEqual(self.said, [])
        self.assertIsNotNone(self.world.host("example.org").find(One))
        self.assertEqual(self.world.server.config.modules("example.org").keys(), {"mod_one", "mod_two"})

    def test_one_that_cannot_start_on_reload_leaves_no_trace_and_the_rest_running(self) -> None:
        self.arrange(mod_one={})
        self.assertRaises(ZeroDivisionError, self.reload, mod_one={}, mod_two={"fail": True})
        host = self.world.host("example.org")
        self.assertIsNone(host.find(Two))
        self.assertIsNotNone(host.find(One))
        self.assertEqual(self.reload(mod_one={}, mod_two={}), ["two starts"])

    def test_one_that_ends_the_program_at_its_start_does_not_end_it(self) -> None:
        self.arrange(mod_one={})

        class Leaving(Recording):
            name = "mod_two"

            async def on_start(self) -> None:
                raise SystemExit(3)

        known, self.world._modules = self.world._modules, Catalogue({"mod_one": One, "mod_two": Leaving})
        error = self.assertRaises(ModuleError, self.reload, mod_two={})
        self.assertRegex(str(error), r"mod_two ended the program in place of starting on .*: SystemExit: 3 \(.*:\d+\)")
        self.assertEqual(self.said, ["one stops", "one starts"])
        self.world._modules = known
        self.assertEqual(self.reload(mod_one={}), [])

    def test_one_by_its_dotted_path_runs_under_its_own_name(self) -> None:
        path = f"{__name__}.One"
        self.arrange(**{path: {"number": 3}, "mod_two": {}})
        self.assertEqual(self.said, ["one starts", "two starts"])
        self.assertEqual(self.world.host("example.org").module(One).options.number, 3)
        self.assertEqual(self.reload(**{path: {"number": 3}, "mod_two": {}}), [])
        self.assertEqual(self.reload(**{path: {"number": 4}}), ["two stops", "one 3→4"])
        self.assertEqual(self.reload(), ["one stops"])

    def test_one_that_is_there_twice_is_refused(self) -> None:
        modules: dict[str, Any] = {f"{__name__}.One": {}, "mod_one": {}}
        world = self.arrange(start=False, **modules)
        error = self.assertRaises(ModuleError, world.run, world.server.start())
        self.assertIn("mod_one", str(error))

    def test_a_module_of_another_class_takes_the_place_of_the_old_one(self) -> None:
        self.arrange(mod_one={})

        class Other(Recording):
            name = "mod_one"

        self.world._modules = Catalogue({"mod_one": Other})
        self.assertEqual(self.reload(mod_one={}), ["one stops", "one starts"])
        self.assertIsInstance(self.world.host("example.org").find(Other), Other)
