//! The gRPC service `AlertRules`.

use access::{Access, Caller};
use atlas_events::{
    self as wire, CreateAlertRuleRequest, CreateAlertRuleResponse, DeleteAlertRuleRequest,
    DeleteAlertRuleResponse, GetAlertRuleRequest, GetAlertRuleResponse, ListAlertRulesRequest,
    ListAlertRulesResponse, PauseAlertRuleRequest, PauseAlertRuleResponse, ResumeAlertRuleRequest,
    ResumeAlertRuleResponse, TestAlertRuleRequest, TestAlertRuleResponse, UpdateAlertRuleRequest,
    UpdateAlertRuleResponse,
    alert_rules_server::{AlertRules, AlertRulesServer},
};
use chrono::NaiveDate;
use service::rest::{Problem, ProblemKind};
use tonic::{Request, Response, Status};

use super::{
    document::{read, written},
    refusal::refuse,
};
use crate::rest::{
    App,
    rules::{
        test::{RuleTest, try_out},
        view::{RuleUpdate, RuleView},
        work::{self, Switch, Wanted},
    },
};

/// A rule of the largest size has some kilobytes.
const REQUEST_BYTES_MAX: usize = 256 * 1024;

/// The service `atlas.events.AlertRules`.
#[derive(Debug, Clone)]
pub(crate) struct AlertRulesService(App);

impl AlertRulesService {
    /// Ready to be added to a server.
    pub(crate) fn server(app: App) -> AlertRulesServer<Self> {
        AlertRulesServer::new(Self(app)).max_decoding_message_size(REQUEST_BYTES_MAX)
    }

    async fn switch(
        &self,
        access: &Access,
        id: &str,
        switch: (Switch, &str),
    ) -> Result<Option<wire::AlertRule>, Status> {
        check(&[("id", id)])?;
        let switched = work::switch(&self.0, access, id, switch).await;
        shown(switched)
    }
}

/// What the caller may do: nothing where no guard was asked.
fn split<T>(request: Request<T>) -> (Access, T) {
    let caller = request.extensions().get::<Caller>();
    let access = caller.map_or_else(Access::nothing, |caller| caller.access.clone());
    (access, request.into_inner())
}

#[tonic::async_trait]
impl AlertRules for AlertRulesService {
    async fn create_alert_rule(
        &self,
        request: Request<CreateAlertRuleRequest>,
    ) -> Result<Response<CreateAlertRuleResponse>, Status> {
        let (access, request) = split(request);
        let rule = read("rule", request.rule).map_err(refuse)?;
        let rule = shown(work::create(&self.0, &access, &rule).await)?;
        Ok(Response::new(CreateAlertRuleResponse { rule }))
    }

    async fn get_alert_rule(
        &self,
        request: Request<GetAlertRuleRequest>,
    ) -> Result<Response<GetAlertRuleResponse>, Status> {
        let (access, request) = split(request);
        check(&[("id", &request.id)])?;
        let rule = shown(work::get(&self.0, &access, &request.id).await)?;
        Ok(Response::new(GetAlertRuleResponse { rule }))
    }

    async fn list_alert_rules(
        &self,
        request: Request<ListAlertRulesRequest>,
    ) -> Result<Response<ListAlertRulesResponse>, Status> {
        let (access, request) = split(request);
        check(&[
            ("kind", &request.kind),
            ("state", &request.state),
            ("tag", &request.tag),
            ("after", &request.after),
        ])?;
        let given = |text: String| Some(text).filter(|text| !text.is_empty());
        let wanted = Wanted {
            kind: given(request.kind),
            state: given(request.state),
            tag: given(request.tag),
            after: given(request.after),
            limit: Some(request.page_size).filter(|size| *size > 0),
        };
        let page = work::list(&self.0, &access, &wanted).await;
        let page = page.map_err(refuse)?;
        let rules: Result<_, _> = page.rules.into_iter().map(rule).collect();
        Ok(Response::new(ListAlertRulesResponse {
            rules: rules.map_err(refuse)?,
            next_after: page.next.unwrap_or_default(),
        }))
    }

    async fn update_alert_rule(
        &self,
        request: Request<UpdateAlertRuleRequest>,
    ) -> Result<Response<UpdateAlertRuleResponse>, Status> {
        let (access, request) = split(request);
        check(&[("id", &request.id)])?;
        let update = RuleUpdate {
            version: request.version,
            rule: read("rule", request.rule).map_err(refuse)?,
        };
        let rule = shown(work::update(&self.0, &access, &request.id, &update).await)?;
        Ok(Response::new(UpdateAlertRuleResponse { rule }))
    }

    async fn pause_alert_rule(
        &self,
        request: Request<PauseAlertRuleRequest>,
    ) -> Result<Response<PauseAlertRuleResponse>, Status> {
        let (access, request) = split(request);
        let switch = (Switch::Pause, &*request.note);
        let rule = self.switch(&access, &request.id, switch).await?;
        Ok(Response::new(PauseAlertRuleResponse { rule }))
    }

    async fn resume_alert_rule(
        &self,
        request: Request<ResumeAlertRuleRequest>,
    ) -> Result<Response<ResumeAlertRuleResponse>, Status> {
        let (access, request) = split(request);
        let switch = (Switch::Resume, &*request.note);
        let rule = self.switch(&access, &request.id, switch).await?;
        Ok(Response::new(ResumeAlertRuleResponse { rule }))
    }

    async fn delete_alert_rule(
        &self,
        request: Request<DeleteAlertRuleRequest>,
    ) -> Result<Response<DeleteAlertRuleResponse>, Status> {
        let (access, request) = split(request);
        check(&[("id", &request.id)])?;
        let deleted = work::delete(&self.0, &access, &request.id).await;
        deleted.map_err(refuse)?;
        Ok(Response::new(DeleteAlertRuleResponse {}))
    }

    async fn test_alert_rule(
        &self,
        request: Request<TestAlertRuleRequest>,
    ) -> Result<Response<TestAlertRuleResponse>, Status> {
        let (access, request) = split(request);
        let test = RuleTest {
            rule: read("rule", request.rule).map_err(refuse)?,
            from: date("from", &request.from).map_err(refuse)?,
            to: date("to", &request.to).map_err(refuse)?,
        };
        let tried = try_out(&self.0, &access, test).await.map_err(refuse)?;
        let firings = tried.firings.into_iter();
        let firings = firings.map(|firing| wire::AlertRuleFiring {
            began: firing.began,
            ended: firing.ended.unwrap_or_default(),
            value: firing.value.map(|value| value.to_string()),
            threshold: firing.threshold.map(|threshold| threshold.to_string()),
        });
        Ok(Response::new(TestAlertRuleResponse {
            firings: firings.collect(),
            is_cut: tried.is_cut,
            points: u64::try_from(tried.points).unwrap_or(u64::MAX),
        }))
    }
}

/// The same as REST says of what no path and no query holds.
fn check(texts: &[(&str, &str)]) -> Result<(), Status> {
    let held = texts
        .iter()
        .find(|(_, text)| text.chars().any(char::is_control));
    match held {
        None => Ok(()),
        Some((field, _)) => {
            let kind = ProblemKind::InvalidRequest;
            let problem = "holds a control character";
            Err(refuse(Problem::field(kind, *field, problem)))
        }
    }
}

fn date(field: &str, given: &str) -> Result<Option<NaiveDate>, Problem> {
    if given.is_empty() {
        return Ok(None);
    }
    let problem = "is no date such as 2026-01-31";
    let date = given.parse().map(Some);
    date.map_err(|_| Problem::field(ProblemKind::InvalidRequest, field, problem))
}

fn shown(view: Result<RuleView, Problem>) -> Result<Option<wire::AlertRule>, Status> {
    view.and_then(rule).map(Some).map_err(refuse)
}

fn rule(view: RuleView) -> Result<wire::AlertRule, Problem> {
    let history = view.history.into_iter();
    let history = history.map(|change| wire::AlertRuleChange {
        change: change.change,
        changed_by: change.by.unwrap_or_default(),
        note: change.note,
        changed_at: Some(change.at.into()),
    });
    Ok(wire::AlertRule {
        id: view.id,
        owner: view.owner,
        rule: Some(written(&view.rule)?),
        state: view.state,
        snoozed_until: view.snoozed_until.map(Into::into),
        version: view.version,
        created_at: Some(view.created_at.into()),
        updated_at: Some(view.updated_at.into()),
        history: history.collect(),
    })
}
