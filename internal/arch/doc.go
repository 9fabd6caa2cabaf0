// Package arch holds the shape of the repository as tests: who may import whom and who owns which dependency, how large
// things may get, what is documented, and which habits are kept. It also holds the tables of requirements and threats
// and checks that each is proven by a test or says why not.
//
// The tables in rules_test.go are what a person reads and changes; every rule is proven on a planted violation.
// After adding a test that names a requirement (R1) or threat (T1), run
//
//	go test ./internal/arch -run Tables -update
package arch
