package main

import "strings"

// ci is another issuer of tokens than GitHub, which Fulcio believes in its own way.
type ci struct {
	issuer string
	claims map[string]any
}

// others are the other issuers, by the word with which the token endpoint is asked for a token of theirs: ci=gitlab.
func others() map[string]ci {
	commit := strings.Repeat("2", 40)
	return map[string]ci{
		"gitlab": {"https://gitlab.com", map[string]any{
			"sub": "project_path:acme/widget:ref_type:branch:ref:main", "project_id": "77", "project_path": "acme/widget", "namespace_id": "88", "namespace_path": "acme",
			"ci_config_ref_uri": "gitlab.com/acme/widget//.gitlab-ci.yml@refs/heads/main", "ci_config_sha": commit, "sha": commit, "ref": "main", "ref_type": "branch", "ref_protected": "true",
			"runner_environment": "gitlab-hosted", "runner_id": 9, "pipeline_source": "push", "pipeline_id": "5005", "job_id": "6006", "project_visibility": "public",
		}},
		"buildkite": {"https://agent.buildkite.com", map[string]any{
			"sub":               "organization:acme:pipeline:widget:ref:refs/heads/main:commit:" + commit + ":step:build",
			"organization_slug": "acme", "pipeline_slug": "widget", "build_number": 1234567, "build_branch": "main", "build_commit": commit, "build_source": "webhook",
			"job_id": "0184990a-477b-4fa8-9968-496074483k77", "runner_environment": "self-hosted", "step_key": "build",
		}},
		"google": {"https://accounts.google.com", map[string]any{"sub": "1077", "email": "builder@acme.iam.gserviceaccount.com", "email_verified": true}},
		"spiffe": {"https://spire.acme.example", map[string]any{"sub": "spiffe://acme.example/builder"}},
		"kubernetes": {"https://cluster.acme.example", map[string]any{
			"sub":           "system:serviceaccount:ci:builder",
			"kubernetes.io": map[string]any{"namespace": "ci", "pod": map[string]any{"name": "p"}, "serviceaccount": map[string]any{"name": "builder"}},
		}},
	}
}

// isIssuer reports whether an address is that of somebody whose tokens Fulcio believes.
func isIssuer(address string) bool {
	for _, c := range others() {
		if address == c.issuer {
			return true
		}
	}
	return address == githubIssuer
}
