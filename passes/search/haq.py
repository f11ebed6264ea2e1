"""HAQ: a DDPG agent that decides widths layer by layer [Wang et al. 2019, arXiv 1811.08886]; extra ``rl``.

The short training inside an episode is `passes.search.retraining`. Differences from the authors' code: plans
are measured on held-out samples, with or without that training; one agent serves many budgets, each episode
having the next one; the reward comes with the last step of an episode only, which at a discount of 1 is the
same return; noise is clipped rather than drawn from a truncated normal.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from threading import Thread
from typing import TYPE_CHECKING, Any

import numpy as np

from passes.search.solver import missing_package

if TYPE_CHECKING:
    from passes.search.haq_env import HaqEnvironment
    from passes.search.solver import Proposals
    from passes.search.task import SearchTask


@dataclass(frozen=True, slots=True)
class Haq:
    """The agent; hyper-parameters are those of the authors' scripts.

    Attributes:
        ratios: budgets on the first cost, as shares of uniform 8 bits, one episode each in turn.
        warm_up: episodes of random actions.
        noise: standard deviation of an action's noise after the warm-up.
        decay: factor of the noise from one episode to the next.
        hidden: units of both hidden layers of actor and critic.
        actor_rate, critic_rate: of Adam.
        batch: transitions per update, one update for every step.
        memory: transitions kept per gene.
    """

    ratios: tuple[float, ...] = (0.6, 0.4, 0.8, 0.3, 0.5, 0.7)
    warm_up: int = 20
    noise: float = 0.5
    decay: float = 0.99
    hidden: int = 300
    actor_rate: float = 1e-4
    critic_rate: float = 1e-3
    batch: int = 64
    memory: int = 128

    def propose(self, task: SearchTask, rng: np.random.Generator) -> Proposals:
        """Propose the plan of one episode at a time, for ever.

        Raises:
            UsageError: stable-baselines3, gymnasium or torch is not installed, a cost is no sum, or there is
                no model to describe the layers of.
        """
        task.check_sums("haq")
        features = task.knows("haq").features()
        try:
            from passes.search.haq_env import HaqEnvironment

            environment = HaqEnvironment(task, features, self.ratios)
            agent = self._agent(environment, rng)
        except ImportError as error:
            raise missing_package("haq", "stable-baselines3 and torch", "rl") from error
        thread = Thread(target=_learn, args=(agent, environment), daemon=True)
        thread.start()
        try:
            while (choices := environment.asked.get()) is not None:
                (point,) = yield [choices]
                environment.answers.put(point.loss)
        finally:
            environment.answers.put(None)
            thread.join()

    def _agent(self, environment: HaqEnvironment, rng: np.random.Generator) -> Any:
        from stable_baselines3 import DDPG

        steps = environment.steps
        agent: Any = DDPG(
            "MlpPolicy",
            environment,
            gamma=1.0,
            tau=0.01,
            batch_size=self.batch,
            buffer_size=self.memory * steps,
            learning_starts=self.warm_up * steps,
            action_noise=_noise(self, environment, rng),
            policy_kwargs={"net_arch": [self.hidden, self.hidden]},
            seed=int(rng.integers(2**31)),
            device="cpu",
        )
        # The library knows one rate for both networks and would set it anew before every update.
        agent._update_learning_rate = lambda optimizers: None
        for network, rate in ((agent.actor, self.actor_rate), (agent.critic, self.critic_rate)):
            for group in network.optimizer.param_groups:
                group["lr"] = rate
        return agent


def _noise(options: Haq, environment: HaqEnvironment, rng: np.random.Generator) -> Any:
    """Return noise that decays from episode to episode; actions of the library reach from -1 to 1."""
    from stable_baselines3.common.noise import ActionNoise

    class Decaying(ActionNoise):  # type: ignore[misc,unused-ignore]
        def __call__(self) -> Any:
            age = max(environment.episodes - options.warm_up, 0)
            return rng.normal(0.0, 2 * options.noise * options.decay**age, 1).astype(np.float32)

    return Decaying()


def _learn(agent: Any, environment: HaqEnvironment) -> None:
    """Run episodes until the search ends; whatever else ends them ends the search."""
    from passes.search.haq_env import Closed

    try:
        with suppress(Closed):
            agent.learn(10**9)
    finally:
        environment.asked.put(None)
