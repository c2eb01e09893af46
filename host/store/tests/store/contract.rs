//! The contract: what every store does, stated once and held against each.

mod appending;
mod journal;
mod listing;
mod plugins;
mod sharing;
mod upkeep;

use pleach_store::{Error, Store};

use crate::fixture::{Fixture, Kind};

pub use plugins::row as plugins_row;
pub use sharing::receive;

/// Holds one store to a rule, and looks whether it is sound afterwards.
async fn hold(kind: Kind, rule: impl AsyncFnOnce(&dyn Store)) {
    let fixture = Fixture::new(kind).await;
    rule(&*fixture.store).await;
    match fixture.store.check().await {
        // The rule was about the end.
        Err(Error::Closed) => {}
        problems => assert_eq!(problems, Ok(vec![])),
    }
}

/// One test a rule, in a module for each store.
macro_rules! hold {
    ($($store:ident: $kind:ident),+ to $rules:tt) => { $( hold! { $store $kind $rules } )+ };
    ($store:ident $kind:ident { $($file:ident: $($rule:ident),+;)+ }) => {
        mod $store {
            $(mod $file { $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $rule() {
                    crate::contract::hold(crate::fixture::Kind::$kind, async |store| {
                        crate::contract::$file::$rule(store).await
                    })
                    .await;
                }
            )+ })+
        }
    };
}

hold! { memory: Memory, sqlite: Sqlite to {
    appending:
        events_come_back_in_order_and_without_a_gap,
        an_append_that_does_not_follow_is_fenced,
        an_append_that_contradicts_itself_is_refused,
        an_append_for_another_tenants_tree_is_refused,
        an_append_of_no_events_writes_the_summary,
        appends_from_many_threads_are_answered_in_order,
        large_events_are_kept_whole,
        a_callback_that_panics_hurts_nobody_else,
        other_writes_keep_their_place_among_appends;
    journal:
        answers_come_back_in_order_and_without_a_gap,
        a_journal_needs_no_events,
        a_long_journal_is_kept_whole,
        an_answer_that_does_not_follow_is_refused_with_its_append,
        a_fenced_append_leaves_no_answer_behind,
        a_forgotten_journal_begins_anew,
        a_blob_is_kept_once_until_the_last_run_that_mentions_it_is_forgotten;
    listing:
        a_summary_is_that_of_the_last_append,
        trees_are_listed_newest_first_and_by_page,
        trees_of_another_tenant_are_not_listed,
        stored_bytes_count_what_was_appended;
    plugins:
        a_version_is_kept_once_and_never_changed,
        a_component_that_is_not_what_its_row_says_is_refused,
        a_version_is_withdrawn_and_published_again,
        plugins_belong_to_their_tenant_and_share_components,
        policies_are_numbered_from_one_for_each_tenant;
    sharing:
        messages_arrive_once_and_in_order,
        a_message_for_no_tree_is_an_error,
        a_tree_belongs_to_whoever_began_it,
        a_change_is_noticed_when_it_was_made_after_the_call,
        a_closed_store_answers_that_it_is_closed;
    upkeep:
        a_snapshot_takes_the_place_of_an_older_one,
        unfinished_trees_of_all_tenants_are_found_oldest_first,
        ended_trees_are_found_by_age_and_beyond_those_to_keep,
        the_size_of_a_tree_is_what_it_counts_for,
        a_removed_tree_is_gone_and_everything_of_it,
        journals_that_were_not_forgotten_go_with_their_tree,
        a_tree_that_has_not_ended_is_not_removed,
        a_tree_is_discarded_whether_it_has_ended_or_not,
        giving_room_back_changes_nothing;
} }

// Rules of a store that queues: their writer is held still until enough waits for it.
hold! { queueing: Sqlite to {
    appending:
        a_failed_append_dooms_what_was_queued_behind_it,
        a_failed_append_leaves_the_rest_of_its_group_alone,
        one_commit_carries_what_waited_for_all_trees,
        room_follows_what_is_queued;
    journal:
        an_append_that_is_doomed_leaves_no_answer_behind,
        a_journal_is_forgotten_several_times_in_one_commit;
    upkeep:
        a_snapshot_takes_its_turn_behind_appends,
        what_is_queued_around_giving_room_back_is_written;
} }
