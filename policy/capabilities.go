package policy

import (
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// allowedBuiltins are all functions a rule may call: pure ones only. It is a list of what is allowed, so that a
// new version of the engine brings in nothing by itself; a test holds that every builtin of the engine is either
// here or in refusedBuiltins.
const allowedBuiltins = `
 abs and array.concat array.flatten array.reverse array.slice assign base64.decode base64.encode
 base64.is_valid base64url.decode base64url.encode base64url.encode_no_pad bits.and bits.lsh bits.negate bits.or
 bits.rsh bits.xor ceil concat contains count crypto.hmac.equal crypto.hmac.sha256 crypto.hmac.sha512
 crypto.sha1 crypto.sha256 div endswith eq equal floor format_int glob.match glob.quote_meta graph.reachable
 graph.reachable_paths gt gte hex.decode hex.encode indexof indexof_n internal.member_2 internal.member_3
 internal.print internal.template_string intersection is_array is_boolean is_null is_number is_object is_set
 is_string json.filter json.is_valid json.marshal json.patch json.remove json.unmarshal lower lt lte max min minus
 mul neq numbers.range numbers.range_step object.filter object.get object.keys object.remove object.subset
 object.union object.union_n or plus print product regex.find_all_string_submatch_n regex.find_n regex.is_valid
 regex.match regex.replace regex.split rego.metadata.chain rego.metadata.rule rem replace round semver.compare
 semver.is_valid sort split sprintf startswith strings.any_prefix_match strings.any_suffix_match
 strings.count strings.replace_n strings.reverse strings.split_n substring sum time.add_date
 time.parse_duration_ns time.parse_ns time.parse_rfc3339_ns to_number trim trim_left trim_prefix trim_right
 trim_space trim_suffix type_name union units.parse units.parse_bytes upper uri.is_valid uri.parse
 urlquery.decode urlquery.decode_object urlquery.encode urlquery.encode_object uuid.parse walk`

// refusedBuiltins are the engine's other functions, by prefix, with the reason (R70, T16).
var refusedBuiltins = []struct{ prefix, why string }{
	{"http.", "a policy has no network"},
	{"net.", "a policy has no network"},
	{"opa.runtime", "a policy has no environment"},
	{"providers.", "a policy holds no credentials"},
	{"time.now_ns", "a policy has no clock; the evaluation time is input.time"},
	{"time.clock", "it reads the machine's time zones"},
	{"time.date", "it reads the machine's time zones"},
	{"time.diff", "it reads the machine's time zones"},
	{"time.format", "it reads the machine's time zones"},
	{"time.weekday", "it reads the machine's time zones"},
	{"rand.", "a decision must be repeatable"},
	{"uuid.rfc4122", "a decision must be repeatable"},
	{"json.match_schema", "a schema may refer to files of the machine"},
	{"json.verify_schema", "a schema may refer to files of the machine"},
	{"graphql.", "evidence holds none"},
	{"io.jwt.", "signatures are verified before a policy is asked"},
	{"crypto.x509.", "certificates are verified before a policy is asked, at a time the policy does not choose"},
	{"crypto.parse_private_keys", "a policy holds no credentials"},
	{"crypto.md5", "it is broken"},
	{"crypto.hmac.md5", "it is broken"},
	{"crypto.hmac.sha1", "it is broken"},
	{"json.marshal_with_options", "json.marshal gives the canonical form"},
	{"rego.parse_module", "a policy judges evidence, not policies"},
	{"strings.render_template", "sprintf does without a second language"},
	{"yaml.", "evidence is JSON"},
	{"trace", "it has no effect here"},
	{"cast_", "it is deprecated"},
	{"re_match", "it is deprecated"},
	{"all", "it is deprecated; write every"},
	{"any", "it is deprecated; write some"},
	{"set_diff", "it is deprecated; write a - b"},
	{"regex.globs_match", "its cost has no bound"},
	{"regex.template_match", "regex.match does without a second language"},
	{"internal.test_case", "it is for tests"},
}

// capabilities returns what rules are compiled against.
func capabilities() *ast.Capabilities {
	caps := ast.CapabilitiesForThisVersion()
	allowed := map[string]bool{}
	for name := range strings.FieldsSeq(allowedBuiltins) {
		allowed[name] = true
	}
	caps.Builtins = slices.DeleteFunc(caps.Builtins, func(b *ast.Builtin) bool { return !allowed[b.Name] })
	caps.AllowNet = []string{}
	return caps
}

// whyRefused says why a builtin may not be called, or "" when it is not one of the engine's.
func whyRefused(name string) string {
	for _, r := range refusedBuiltins {
		if strings.HasPrefix(name, r.prefix) {
			return r.why
		}
	}
	return ""
}
