//! What rules ask: confirmations of what is about to be lost, approvals that pass once.

use std::time::Duration;

use super::*;
use crate::config::RuleMode;
use crate::config::types::Period;
use crate::exchange::{Ask, Inspected};
use crate::store::{Approval, ApprovalState};

fn asks(ask: Ask) -> [Requirement; 1] {
    [Requirement {
        ask,
        rule: "main-stays".into(),
        mode: RuleMode::Enforce,
    }]
}

fn confirmed(value: &str) -> Request {
    let mut request = hard_reset(&asks(Ask::Confirmation));
    request.headers_mut().insert(headers::CONFIRM, value.parse().unwrap());
    request
}

fn operator(name: Option<&str>) -> Operator {
    Operator {
        name: name.map(str::to_owned),
        uid: Some(0),
    }
}

async fn waiting(world: &World) -> Approval {
    world.state.approvals().await.unwrap().remove(0)
}

fn reason(response: &Response) -> (u16, &str) {
    let reason = response.headers().get("x-lakegate-reason");
    (
        response.status().as_u16(),
        reason.map_or("", |reason| reason.to_str().unwrap()),
    )
}

#[tokio::test]
async fn a_confirmation_must_name_what_is_about_to_be_lost() {
    let world = World::new().await;
    let missing = world.send(hard_reset(&asks(Ask::Confirmation)), |_| 204).await;
    assert_eq!(reason(&missing), (428, "confirmation-required"));
    assert_eq!(missing.headers()["x-lakegate-rule"], "main-stays");
    let said = text(missing).await;
    assert!(said.contains(A) && said.contains("x-lakegate-confirm"), "{said}");
    for stale in [B, "aaaaaaaaaaaa", "", "main"] {
        let refused = world.send(confirmed(stale), |_| 204).await;
        assert_eq!(reason(&refused), (412, "confirmation-stale"), "{stale}");
    }
    assert_eq!((world.forwarded(), world.undos().await.len()), (0, 0));
    assert_eq!(world.send(confirmed(A), |_| 204).await.status(), 204);
    let headers = world.seen.lock().unwrap()[0].1.clone();
    assert!(!headers.contains_key(headers::CONFIRM), "it ends at the gateway");
}

#[tokio::test]
async fn what_names_no_branch_cannot_be_confirmed() {
    let world = World::new().await;
    let delete = request("alice", Method::DELETE, "r", &asks(Ask::Confirmation));
    assert_eq!(
        reason(&world.send(delete, |_| 204).await),
        (428, "confirmation-required")
    );
}

#[tokio::test]
async fn a_rule_in_shadow_and_a_gateway_that_observes_ask_nothing() {
    let mut world = World::new().await;
    for (mode, rule) in [(Mode::Observe, RuleMode::Enforce), (Mode::Enforce, RuleMode::Shadow)] {
        world.mode = mode;
        for ask in [Ask::Confirmation, Ask::Approval] {
            let [asked] = asks(ask);
            let request = hard_reset(&[Requirement { mode: rule, ..asked }]);
            let context = Context::of(&request);
            assert_eq!(world.send(request, |_| 204).await.status(), 204);
            let expected = match ask {
                Ask::Confirmation => "confirmation-required",
                Ask::Approval => "approval-required",
            };
            assert_eq!(context.facts().shadow_refusals, [expected]);
        }
    }
    assert!(world.state.approvals().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_approval_lets_the_same_request_pass_once() {
    let world = World::new().await;
    let refused = world.send(hard_reset(&asks(Ask::Approval)), |_| 204).await;
    assert_eq!(reason(&refused), (403, "approval-required"));
    let approval = waiting(&world).await;
    assert!(text(refused).await.contains(&approval.id.to_string()));
    assert_eq!((approval.commit.as_deref(), &*approval.principal), (Some(A), "alice"));
    assert_eq!(approval.targets, ["r/main", "from r/dev"]);
    let again = world.send(hard_reset(&asks(Ask::Approval)), |_| 204).await;
    assert!(
        text(again).await.contains(&approval.id.to_string()),
        "it is the same that waits"
    );
    world
        .state
        .decide(approval.id, true, operator(Some("bob")))
        .await
        .unwrap();
    assert_eq!(
        world.send(hard_reset(&asks(Ask::Approval)), |_| 204).await.status(),
        204
    );
    let used = waiting(&world).await;
    assert_eq!(
        (used.state, used.by.as_deref()),
        (ApprovalState::Used, Some("bob (uid 0)"))
    );
    let third = world.send(hard_reset(&asks(Ask::Approval)), |_| 204).await;
    assert_eq!(reason(&third), (403, "approval-required"));
    assert_ne!(waiting(&world).await.id, approval.id);
    assert_eq!(world.forwarded(), 1);
}

#[tokio::test]
async fn an_approval_serves_no_other_principal_target_method_or_body() {
    let world = World::new().await;
    world.send(hard_reset(&asks(Ask::Approval)), |_| 204).await;
    let approval = waiting(&world).await;
    world.state.decide(approval.id, true, operator(None)).await.unwrap();
    let target = "r/branches/main/hard_reset?ref=dev";
    let mut with_body = request("alice", Method::PUT, target, &asks(Ask::Approval));
    with_body.extensions_mut().insert(Inspected("x".into()));
    for other in [
        request("mallory", Method::PUT, target, &asks(Ask::Approval)),
        request(
            "alice",
            Method::PUT,
            "r/branches/main/hard_reset?ref=v1",
            &asks(Ask::Approval),
        ),
        request("alice", Method::DELETE, "r/branches/main", &asks(Ask::Approval)),
        with_body,
    ] {
        let refused = world.send(other, |_| 204).await;
        assert_eq!(reason(&refused), (403, "approval-required"));
    }
    assert_eq!(world.forwarded(), 0);
}

#[tokio::test]
async fn of_many_equal_requests_one_passes() {
    let world = World::new().await;
    world.send(hard_reset(&asks(Ask::Approval)), |_| 204).await;
    let approval = waiting(&world).await;
    world.state.decide(approval.id, true, operator(None)).await.unwrap();
    let sending = (0..20).map(|_| world.send(hard_reset(&asks(Ask::Approval)), |_| 204));
    let answers = futures_util::future::join_all(sending).await;
    let passed = answers.iter().filter(|answer| answer.status() == 204).count();
    assert_eq!((passed, world.forwarded()), (1, 1));
}

#[tokio::test]
async fn nobody_approves_their_own_request_and_a_denial_stands() {
    let world = World::new().await;
    world.send(hard_reset(&asks(Ask::Approval)), |_| 204).await;
    let approval = waiting(&world).await;
    let own = world.state.decide(approval.id, true, operator(Some("alice"))).await;
    assert_eq!(own.unwrap_err().0, StatusCode::CONFLICT);
    world
        .state
        .decide(approval.id, false, operator(Some("bob")))
        .await
        .unwrap();
    let late = world.state.decide(approval.id, true, operator(Some("carol"))).await;
    assert!(late.unwrap_err().1.contains("denied already, by bob"));
    let refused = world.send(hard_reset(&asks(Ask::Approval)), |_| 204).await;
    assert!(text(refused).await.contains("bob (uid 0) has denied it"));
    let none = world.state.decide(uuid::Uuid::now_v7(), true, operator(None)).await;
    assert_eq!(none.unwrap_err().0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_has_expired_is_neither_approved_nor_used() {
    let mut world = World::new().await;
    world.config.approvals.pending = Period(Duration::ZERO);
    world.send(hard_reset(&asks(Ask::Approval)), |_| 204).await;
    assert!(world.state.approvals().await.unwrap().is_empty());
    world.config.approvals = crate::config::ApprovalsConfig {
        valid: Period(Duration::ZERO),
        ..Default::default()
    };
    world.send(hard_reset(&asks(Ask::Approval)), |_| 204).await;
    let approval = waiting(&world).await;
    world.state.decide(approval.id, true, operator(None)).await.unwrap();
    let refused = world.send(hard_reset(&asks(Ask::Approval)), |_| 204).await;
    assert_eq!(reason(&refused), (403, "approval-required"));
    assert_ne!(waiting(&world).await.id, approval.id);
}

#[tokio::test]
async fn one_principal_cannot_fill_the_list() {
    let mut world = World::new().await;
    world.config.approvals.max_pending = 20;
    for number in 0..3 {
        let target = format!("r/branches/main/hard_reset?ref=r{number}");
        let refused = world
            .send(request("mallory", Method::PUT, &target, &asks(Ask::Approval)), |_| 204)
            .await;
        let expected = if number < 2 {
            (403, "approval-required")
        } else {
            (503, "cannot-record")
        };
        assert_eq!(reason(&refused), expected);
    }
    let other = world.send(hard_reset(&asks(Ask::Approval)), |_| 204).await;
    assert_eq!(reason(&other), (403, "approval-required"));
}

#[tokio::test]
async fn a_stale_confirmation_uses_no_approval_up() {
    let world = World::new().await;
    let both = [asks(Ask::Approval), asks(Ask::Confirmation)].concat();
    let send = |value: &'static str| {
        let mut request = hard_reset(&both);
        request
            .headers_mut()
            .insert(headers::CONFIRM, HeaderValue::from_static(value));
        world.send(request, |_| 204)
    };
    assert_eq!(reason(&send(A).await), (403, "approval-required"));
    let approval = waiting(&world).await;
    world.state.decide(approval.id, true, operator(None)).await.unwrap();
    assert_eq!(reason(&send(B).await), (412, "confirmation-stale"));
    assert_eq!(send(A).await.status(), 204);
}
