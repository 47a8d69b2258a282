//! Admission: share, turn, slot, in this order; and the same in shadow.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::Limit;
use super::door::{Door, Entry};
use super::gate::Pass;
use super::line::Comer;
use super::plan::{self, Plan};
use super::queue::Patience;
use super::slot::Slot;
use super::turn::Turn;
use crate::exchange::{Context, Rejection, Response};
use crate::observe::metrics::ReasonLabels;

const OVER_SHARE: &str = "over-share";
const BRANCH_BUSY: &str = "branch-busy";
const UPSTREAM_BUSY: &str = "upstream-busy";

/// When to come again after a wait that was too long, where nothing better is known.
const COME_AGAIN: Duration = Duration::from_secs(2);

/// What a request holds while it is on its way.
#[derive(Debug)]
pub(super) struct Admitted {
    in_flight: Pass,
    turn: Option<Turn>,
    slot: Option<Entry>,
}

impl Admitted {
    /// Gives back what an answer's head frees, and lets its body hold the rest.
    pub(super) fn release(self, response: Response, slot: Slot) -> Response {
        drop(self.turn);
        let held = (self.in_flight, self.slot.filter(|_| slot == Slot::Stream));
        if response.body().is_complete() {
            return response;
        }
        response.map(|body| body.holding(held))
    }
}

impl Limit {
    /// Share, turn, slot: waits for each.
    pub(super) async fn admit(&self, plan: &Plan<'_>, context: &Context) -> Result<Admitted, Rejection> {
        let (state, id) = (&*self.state, context.id());
        let over_share = |wait| Rejection::OverShare {
            retry_after: jittered(wait, id),
            status: self.too_many,
        };
        let busy = |reason, wait| Rejection::Busy {
            reason,
            retry_after: jittered(wait, id),
        };
        let mut patience = Patience::new(&state.queue, context, self.config.max_waiting, self.config.max_wait.0);

        let key = plan::key(context);
        let share = state.shares.of(&key, plan.rate, plan.in_flight);
        let bucket = share.bucket(plan.class, plan.rate);
        bucket.take(plan.rate, &mut patience).await.map_err(over_share)?;
        let mut in_flight = match share.in_flight.try_enter() {
            Some(pass) => pass,
            None => {
                let pass = patience.wait(share.in_flight.enter()).await;
                pass.map_err(|_| over_share(COME_AGAIN))?
            }
        };

        let mut turn = None;
        if let Some((repository, branch)) = plan.turn {
            turn = Some(match state.turns.at(repository, branch).try_turn() {
                Ok(turn) => turn,
                Err(place) => {
                    drop(in_flight);
                    let turn = patience
                        .wait(place.turn())
                        .await
                        .map_err(|_| busy(BRANCH_BUSY, COME_AGAIN))?;
                    in_flight = share.in_flight.enter_over();
                    turn
                }
            });
        }

        let slot = match state.slots.door(plan.slot) {
            None => None,
            Some(door) => Some(match door.try_enter() {
                Some(entry) => entry,
                None if plan.always => door.enter_over(),
                None => {
                    let comer = Comer {
                        key: Arc::clone(&key),
                        priority: plan.priority,
                        weight: plan.weight,
                        patience: patience.left(),
                    };
                    wait_in_line(door, &comer, &mut patience)
                        .await
                        .map_err(|wait| busy(UPSTREAM_BUSY, wait))?
                }
            }),
        };
        Ok(Admitted { in_flight, turn, slot })
    }

    /// The same without ever waiting or refusing: says what it would have done.
    pub(super) fn admit_in_shadow(&self, plan: &Plan<'_>, context: &Context) -> Admitted {
        let state = &*self.state;
        let share = state.shares.of(&plan::key(context), plan.rate, plan.in_flight);
        if let Err(wait) = share.bucket(plan.class, plan.rate).take_now(plan.rate) {
            if wait > self.config.max_wait.0 {
                self.note(context, OVER_SHARE, "would have been refused");
                context.facts().shadow_refusals.push(OVER_SHARE);
            } else {
                self.note(
                    context,
                    OVER_SHARE,
                    &format!("would have waited {} ms", wait.as_millis()),
                );
            }
        }
        let in_flight = share.in_flight.try_enter().unwrap_or_else(|| {
            self.note(context, OVER_SHARE, "would have waited for its own requests under way");
            share.in_flight.enter_over()
        });
        let turn = plan.turn.map(|(repository, branch)| {
            let place = state.turns.at(repository, branch);
            if place.ahead > 0 {
                self.note(
                    context,
                    BRANCH_BUSY,
                    &format!("would have waited for {} before it", place.ahead),
                );
            }
            place.unordered()
        });
        let slot = state.slots.door(plan.slot).map(|door| {
            door.try_enter().unwrap_or_else(|| {
                if !plan.always {
                    self.note(context, UPSTREAM_BUSY, "would have waited for a slot");
                }
                door.enter_over()
            })
        });
        Admitted { in_flight, turn, slot }
    }

    /// Writes down what shadow would have done.
    fn note(&self, context: &Context, reason: &'static str, what: &str) {
        self.state
            .metrics
            .shadow_waits
            .get_or_create(&ReasonLabels { reason })
            .inc();
        context.facts().shadow.push(format!("{reason}: {what}"));
    }
}

/// Waits to be let in. A wait that cannot be met is refused before it begins.
async fn wait_in_line(door: &Arc<Door>, comer: &Comer, patience: &mut Patience<'_>) -> Result<Entry, Duration> {
    let place = door.queue(comer)?;
    patience.wait(place.entry()).await.map_err(|_| COME_AGAIN)
}

/// Whole seconds of at least `wait`, up to half as many again: clients that were refused together do not come again together.
fn jittered(wait: Duration, id: Uuid) -> Duration {
    let seconds = wait.as_secs_f64().ceil().max(1.0) as u64;
    let (_, random) = id.as_u64_pair();
    Duration::from_secs(seconds + random % (seconds / 2 + 2))
}
