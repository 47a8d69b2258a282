//! Admission: share, turn, slot, in this order; and the same in shadow.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::Limit;
use super::door::{Door, Entry};
use super::gate::Pass;
use super::line::Comer;
use super::measure::Measure;
use super::order::Kind;
use super::plan::{self, Plan};
use super::queue::{GaveUp, Patience};
use super::slot::Slot;
use super::tail::Turning;
use super::turn::Turn;
use crate::exchange::{Context, Rejection, Response};
use crate::observe::metrics::ReasonLabels;

const OVER_SHARE: &str = "over-share";
const BRANCH_BUSY: &str = "branch-busy";
const UPSTREAM_BUSY: &str = "upstream-busy";

/// Why a turn was not waited for to its end: the reasons of `turns_missed`.
const SLOW_WRITE: &str = "slow-write";
const TOO_LATE: &str = "too-late";
const FULL: &str = "full";

/// When to come again after a wait that was too long, where nothing better is known.
const COME_AGAIN: Duration = Duration::from_secs(2);

/// What a request holds while it is on its way.
#[derive(Debug)]
pub(super) struct Admitted {
    in_flight: Pass,
    turns: Vec<Turn>,
    slot: Option<Entry>,
    measure: Option<Measure>,
}

impl Admitted {
    /// Gives back what an answer's head frees, and lets its body hold the rest.
    pub(super) fn release(self, response: Response, slot: Slot) -> Response {
        if let Some(measure) = self.measure {
            measure.answered(&response);
        }
        drop(self.turns);
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

        let mut turns = Vec::new();
        if let Some(wanted) = plan.turns.as_ref().filter(|wanted| !wanted.at_the_end) {
            let mut meanwhile = Some(in_flight);
            for (repository, branch) in &wanted.on {
                let turn = match state.turns.at(repository, branch, wanted.kind, &key).try_turn() {
                    Ok(turn) => turn,
                    Err(place) => {
                        meanwhile = None;
                        match patience.wait(place.turn()).await {
                            Ok(turn) => turn,
                            Err(gave_up) if plan.always => {
                                self.missed(missed_by(gave_up));
                                break;
                            }
                            Err(_) => return Err(busy(BRANCH_BUSY, COME_AGAIN)),
                        }
                    }
                };
                if turn.beside_writes {
                    self.missed(SLOW_WRITE);
                }
                turns.push(turn);
            }
            in_flight = meanwhile.unwrap_or_else(|| share.in_flight.enter_over());
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
        let measure = Measure::begin(&self.state, plan);
        Ok(Admitted {
            in_flight,
            turns,
            slot,
            measure,
        })
    }

    /// The wait for the turns that a body's last bytes take.
    pub(super) fn turning(&self, plan: &Plan<'_>, context: &Context) -> Turning {
        let Some(wanted) = &plan.turns else {
            return Box::pin(std::future::ready(Vec::new()));
        };
        let owned = |(repository, branch): &(&str, &str)| ((*repository).to_owned(), (*branch).to_owned());
        let (kind, on): (_, Vec<_>) = (wanted.kind, wanted.on.iter().map(owned).collect());
        let (limit, context) = (self.clone(), context.clone());
        Box::pin(async move {
            let mut turns = Vec::with_capacity(on.len());
            for (repository, branch) in on {
                let got = match limit.enforced {
                    true => limit.turn_of_tail((&repository, &branch), kind, &context).await,
                    false => Ok(limit.turn_in_shadow((&repository, &branch), kind, &context)),
                };
                match got {
                    Ok(turn) => turns.push(turn),
                    Err(reason) => {
                        limit.missed(reason);
                        tracing::debug!(request.id = %context.id(), reason, "the end of an upload goes without its turn");
                        break;
                    }
                }
            }
            turns
        })
    }

    async fn turn_of_tail(
        &self,
        (repository, branch): (&str, &str),
        kind: Kind,
        context: &Context,
    ) -> Result<Turn, &'static str> {
        let state = &*self.state;
        let place = match state.turns.at(repository, branch, kind, &plan::key(context)).try_turn() {
            Ok(turn) => return Ok(turn),
            Err(place) => place,
        };
        let Ok(_waiting) = state.tails.try_acquire() else {
            return Err(FULL);
        };
        let mut patience = Patience::new(&state.queue, context, self.config.max_waiting, self.config.max_wait.0);
        patience.wait(place.turn()).await.map_err(missed_by)
    }

    fn turn_in_shadow(&self, (repository, branch): (&str, &str), kind: Kind, context: &Context) -> Turn {
        let place = self.state.turns.beside(repository, branch, kind);
        if place.ahead > 0 {
            let what = format!("would have waited for {} before it", place.ahead);
            self.note(context, BRANCH_BUSY, &what);
        }
        place.at_once()
    }

    /// Counts a turn that was not waited for to its end.
    fn missed(&self, reason: &'static str) {
        let missed = &self.state.metrics.turns_missed;
        missed.get_or_create(&ReasonLabels { reason }).inc();
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
        let before_it_goes = plan.turns.iter().filter(|wanted| !wanted.at_the_end);
        let turns = before_it_goes
            .flat_map(|wanted| wanted.on.iter().map(|on| (wanted.kind, *on)))
            .map(|(kind, on)| self.turn_in_shadow(on, kind, context))
            .collect();
        let slot = state.slots.door(plan.slot).map(|door| {
            door.try_enter().unwrap_or_else(|| {
                if !plan.always {
                    self.note(context, UPSTREAM_BUSY, "would have waited for a slot");
                }
                door.enter_over()
            })
        });
        let measure = Measure::begin(&self.state, plan);
        Admitted {
            in_flight,
            turns,
            slot,
            measure,
        }
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

fn missed_by(gave_up: GaveUp) -> &'static str {
    match gave_up {
        GaveUp::Full => FULL,
        GaveUp::TooLate => TOO_LATE,
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
