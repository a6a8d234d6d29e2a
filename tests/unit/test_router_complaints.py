"""Each complaint of other engines' users is a test, and each test notices a mutant of our core."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.unit import router_complaints as scenes
from tests.unit import router_mutants as mutants

TABLE: list[tuple[str, Callable[[], None], mutants.Mutant]] = [
    ("3.1", scenes.one_item_one_agent, mutants.losers_keep_their_offers),
    ("3.1", scenes.never_more_than_the_limit, mutants.no_channel_cap),
    ("3.1", scenes.a_supervisors_choice_stays, mutants.the_machine_overrules_the_supervisor),
    ("3.2", scenes.a_reservation_never_outlives_its_offers, mutants.reservations_stay),
    ("3.2", scenes.each_wrap_up_ends_at_its_own_time_without_the_browser, mutants.wrap_ups_end_together),
    ("3.2", scenes.each_wrap_up_ends_at_its_own_time_without_the_browser, mutants.the_browser_ends_wrap_up),
    ("3.3", scenes.the_last_word_on_presence_wins, mutants.the_first_word_wins),
    ("3.3", scenes.the_end_of_work_never_makes_anybody_available, mutants.done_means_available),
    ("3.3", scenes.work_of_who_vanished_is_taken_up_after_a_grace, mutants.orphans_stay),
    ("3.4", scenes.nobody_waits_for_an_agent_who_is_gone, mutants.wait_for_whoever),
    ("3.5", scenes.the_backlog_is_taken_at_once_and_the_oldest_first, mutants.newest_first),
    ("3.5", scenes.the_backlog_is_taken_at_once_and_the_oldest_first, mutants.freed_agents_are_not_noticed),
    ("3.6", scenes.nobody_is_filled_to_the_limit_first, mutants.always_the_same_first),
    ("3.6", scenes.who_returns_from_holiday_is_not_flooded, mutants.by_lifetime),
    ("3.7", scenes.one_capacity_for_all_channels, mutants.no_units),
    ("3.8", scenes.a_silent_agent_loses_it_as_often_as_needed, mutants.one_hop),
    ("3.8", scenes.a_silent_agent_loses_it_as_often_as_needed, mutants.messages_restart_the_timer),
    ("3.9", scenes.a_heavier_task_that_may_not_use_him_blocks_nobody, mutants.head_of_line),
    ("3.10", scenes.a_point_of_priority_is_worth_a_stated_wait, mutants.priority_above_all),
    ("3.11", scenes.each_decision_says_why, mutants.nothing_is_said),
    ("3.11", scenes.ties_do_not_depend_on_who_was_created_first, mutants.by_age_of_the_account),
    ("3.12", scenes.what_he_declined_does_not_come_straight_back, mutants.no_cool_down),
    ("3.12", scenes.a_transfer_that_cannot_work_is_refused_and_changes_nothing, mutants.transfers_go_anywhere),
    ("3.12", scenes.who_gave_it_away_is_attached_no_more, mutants.the_giver_stays_attached),
    ("3.12", scenes.never_this_customer_with_that_agent, mutants.pairs_are_not_looked_at),
    ("3.13", scenes.a_change_of_status_does_not_close_what_is_wrapped_up, mutants.leaving_closes_wrap_up),
    ("3.14", scenes.out_of_hours_nobody_is_offered_anything, mutants.always_open),
    ("3.15", scenes.the_customer_can_be_told_where_he_stands, mutants.nobody_is_told),
    ("3.16", scenes.a_dead_offer_says_how_it_died, mutants.one_code_for_all),
    ("3.17", scenes.work_finds_its_agent_by_itself, mutants.by_hand),
]  # fmt: skip
NAMES = [f"{number}-{scene.__name__}" for number, scene, _ in TABLE]


@pytest.mark.parametrize("scene", dict.fromkeys(scene for _, scene, _ in TABLE))
def test_it_does_not_happen_here(scene: Callable[[], None]) -> None:
    scene()


@pytest.mark.parametrize(("scene", "mutant"), [row[1:] for row in TABLE], ids=NAMES)
def test_the_scene_notices_its_mutant(scene: Callable[[], None], mutant: Any) -> None:
    """A fault of any kind is noticing; passing is not."""
    with mutant(), pytest.raises(Exception):  # noqa: B017, PT011
        scene()
