"""Two SPADE agents that talk through a Federix of their own: ``python examples/spade_agents.py``.

SPADE hands messages between agents of one process over without a server; so each agent runs in its own.
"""

import subprocess
import sys

from federix.testing import ServerProcess

WORDS = "What is six times seven?"


def main():
    with ServerProcess() as server:
        started = []
        for role in ("answerer", "asker"):
            jid = server.register(role, "secret")
            command = [sys.executable, __file__, role, jid, str(server.port)]
            started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            if role == "answerer":
                started[0].stdout.readline()  # it is online
        answerer, asker = started
        said, _ = asker.communicate(timeout=60)
        answerer.kill()
        answerer.communicate()
    print(said.strip().splitlines()[-1])


def agent(role, jid, port):
    """One agent, until it has heard or said what it came for."""
    import spade
    from spade.agent import Agent
    from spade.behaviour import CyclicBehaviour, OneShotBehaviour
    from spade.message import Message

    class Answer(CyclicBehaviour):
        async def run(self):
            question = await self.receive(timeout=10)
            if question is not None:
                answer = question.make_reply()
                answer.body = "42" if question.body == WORDS else "I beg your pardon?"
                await self.send(answer)

    class Ask(OneShotBehaviour):
        async def run(self):
            await self.send(Message(to=jid.replace("asker", "answerer"), body=WORDS))
            answer = await self.receive(timeout=20)
            print(answer.body if answer else "no answer", flush=True)
            await self.agent.stop()

    async def live():
        one = Agent(jid, "secret", port=int(port))
        one.add_behaviour(Ask() if role == "asker" else Answer())
        await one.start(auto_register=False)
        print("online", flush=True)
        await spade.wait_until_finished(one)

    spade.run(live())


if __name__ == "__main__":
    agent(*sys.argv[1:]) if sys.argv[1:] else main()
