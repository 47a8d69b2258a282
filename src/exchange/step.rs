//! The one Layer + Service pair of the house: each layer is a plain async function over a request and the rest of the stack.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use tower::{Layer, Service};

use super::{Request, Response};

/// The future every service of the stack answers with. Errors are responses already: nothing below a step fails otherwise.
pub type Answer = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

/// What a step may have below it: any cloneable service from requests to responses.
pub trait Inner:
    Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}
impl<S> Inner for S where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

/// One layer of the stack.
pub trait Step: Send + Sync + 'static {
    /// Handles one request; `next` is the rest of the stack, to be run at most once.
    fn call<S: Inner>(&self, request: Request, next: Next<S>) -> impl Future<Output = Response> + Send;
}

/// The rest of the stack below a step.
#[derive(Debug)]
pub struct Next<S>(S);

impl<S: Inner> Next<S> {
    /// Sends the request further down and waits for the answer.
    pub async fn run(mut self, request: Request) -> Response {
        // Services of this stack are always ready: waiting happens in `limit`, where the key is known.
        match self.0.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// Makes a tower layer of a step.
pub fn step<T: Step>(step: T) -> StepLayer<T> {
    StepLayer(Arc::new(step))
}

/// The tower layer of a [`Step`].
#[derive(Debug)]
pub struct StepLayer<T>(Arc<T>);

impl<T, S> Layer<S> for StepLayer<T> {
    type Service = StepService<T, S>;

    fn layer(&self, inner: S) -> Self::Service {
        StepService {
            step: Arc::clone(&self.0),
            inner,
        }
    }
}

/// The tower service of a [`Step`] over the rest of the stack.
#[derive(Debug)]
pub struct StepService<T, S> {
    step: Arc<T>,
    inner: S,
}

impl<T, S: Clone> Clone for StepService<T, S> {
    fn clone(&self) -> Self {
        Self {
            step: Arc::clone(&self.step),
            inner: self.inner.clone(),
        }
    }
}

impl<T: Step, S: Inner> Service<Request> for StepService<T, S> {
    type Response = Response;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Answer {
        let (step, inner) = (Arc::clone(&self.step), self.inner.clone());
        Box::pin(async move { Ok(step.call(request, Next(inner)).await) })
    }
}
