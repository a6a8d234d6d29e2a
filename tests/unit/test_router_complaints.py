"""Each complaint of other engines' users is a test, and each test notices a mutant of our core."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.unit import router_complaints as scenes
from tests.unit import router_complaints_agents as of_agents
from tests.unit import router_complaints_work as of_work
from tests.unit import router_mutants as mutants
from tests.unit import router_mutants_agents as agents_less
from tests.unit import router_mutants_work as work_less

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
    ("3.1", of_work.a_decision_of_before_is_not_carried_out_after, work_less.transfers_leave_offers_open),
    ("3.1", of_work.what_an_agent_does_counts_once, work_less.what_was_offered_counts_again),
    ("3.2", of_work.who_lost_the_race_is_free_at_once, mutants.losers_keep_their_offers),
    ("3.2", of_work.what_is_done_is_nowhere_any_more, work_less.done_stays_on_the_desk),
    ("3.2", of_work.an_absent_last_agent_stops_nobody, work_less.the_turn_waits_for_whoever_has_it),
    ("3.2", of_work.who_hangs_up_leaves_nobody_locked_in, work_less.hanging_up_is_not_heard),
    ("3.2", of_work.after_clearing_the_next_one_has_its_whole_time, work_less.time_runs_since_it_began_to_wait),
    ("3.2", of_work.after_clearing_the_next_one_has_its_whole_time, work_less.done_stays_on_the_desk),
    ("3.2", of_work.a_supervisor_ends_what_its_agent_has_left, work_less.only_its_agent_may),
    ("3.3", of_agents.who_was_set_offline_stays_offline, agents_less.to_return_is_to_be_available),
    ("3.3", of_agents.a_call_that_fails_leaves_him_resting, mutants.done_means_available),
    ("3.3", of_agents.a_phone_keeps_him_while_the_tab_sleeps, agents_less.only_the_first_call_counts),
    ("3.3", of_agents.a_ghost_is_offline, agents_less.ghosts_stay),
    ("3.3", of_agents.who_calls_again_is_back_at_once, agents_less.nobody_comes_back),
    ("3.3", of_agents.a_gap_within_the_grace_costs_nobody_his_work, agents_less.the_grace_runs_on),
    ("3.6", of_agents.who_is_quick_is_not_punished, agents_less.by_load_alone),
    ("3.6", of_agents.it_is_not_always_the_same_one_first, mutants.always_the_same_first),
    ("3.6", of_agents.who_has_just_had_a_long_one_comes_last, mutants.always_the_same_first),
    ("3.7", of_work.one_limit_for_all_queues, work_less.each_queue_has_its_own_limit),
    ("3.7", of_work.of_two_limits_the_tighter_one_holds, mutants.no_units),
    ("3.7", of_work.of_two_limits_the_tighter_one_holds, mutants.no_channel_cap),
    ("3.11", of_work.the_policy_is_named, work_less.the_policy_is_not_said),
    ("3.11", of_work.every_change_of_hands_is_told, work_less.only_the_machine_explains),
    ("3.11", of_work.why_the_third_came_first, work_less.nobody_says_what_is_lacking),
    ("3.12", of_work.what_nobody_takes_goes_elsewhere, work_less.declines_are_not_counted),
    ("3.12", of_work.a_blind_transfer_frees_at_once, work_less.blind_is_warm),
    ("3.12", of_work.who_had_it_does_not_block_the_requeue, work_less.who_had_it_stays_attached),
    ("3.13", of_agents.wrap_up_is_seen_as_the_reason, agents_less.wrap_up_is_no_reason),
    ("3.13", of_agents.several_wrap_ups_end_one_by_one, agents_less.one_close_for_all),
    ("3.14", of_agents.when_nobody_is_on_duty_it_does_not_go_to_everybody, agents_less.everybody_is_on_duty),
    ("3.14", of_agents.nine_to_five_is_by_his_own_clock, agents_less.one_clock_for_all),
    ("3.14", of_agents.who_is_on_leave_is_told_apart, agents_less.everybody_is_on_duty),
    ("3.15", of_work.the_customer_is_told_again_when_he_moves_up, work_less.told_once),
]  # fmt: skip
NAMES = [f"{number}-{scene.__name__}-{mutant.__name__}" for number, scene, mutant in TABLE]


@pytest.mark.parametrize("scene", dict.fromkeys(scene for _, scene, _ in TABLE))
def test_it_does_not_happen_here(scene: Callable[[], None]) -> None:
    scene()


@pytest.mark.parametrize(("scene", "mutant"), [row[1:] for row in TABLE], ids=NAMES)
def test_the_scene_notices_its_mutant(scene: Callable[[], None], mutant: Any) -> None:
    """A fault of any kind is noticing; passing is not."""
    with mutant(), pytest.raises(Exception):  # noqa: B017, PT011
        scene()
