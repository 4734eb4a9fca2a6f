// Call Graph with a Page token that page-token-sync keeps, and recover from error 190 within seconds.
//
//	go mod init page-app && go mod tidy
//	echo 'me?fields=name' | PAGE=berlin VAULT_ADDR=… VAULT_TOKEN=… VAULT_PATH=meta/pages/berlin go run .
//	echo 'me?fields=name' | PAGE=berlin AWS_SECRET_ID=meta/pages/berlin go run .
//
// Each line of the input is a path of Graph; each line of the output is what became of it, as JSON.
package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

const cacheFor = time.Minute

var graph = cmp.Or(os.Getenv("GRAPH_URL"), "https://graph.facebook.com/v25.0")

// advice is what to do on errors that a repetition does not solve, by Graph's code.
var advice = map[int]string{
	10:  "The app lacks a permission: the app's admin requests it. Do not repeat the call.",
	200: "The token lacks a permission for this Page: the app's admin grants it. Do not repeat the call.",
	100: "The call is wrong, or its object does not exist. Correct it; another token changes nothing.",
	368: "Meta has blocked this action for the Page for a time. Stop writing, and ask a person to look.",
	190: "No valid token is stored. Stop calling for this Page, and raise an alarm.",
}

// GraphError is Graph's refusal of a call.
type GraphError struct{ Code int }

func (e *GraphError) Error() string {
	return cmp.Or(advice[e.Code], "See Meta's documentation of this code.")
}

// PageToken is the Page's token, cached for a minute.
type PageToken struct {
	read        func(context.Context) (string, error)
	askForCheck func(context.Context) time.Duration

	mu            sync.Mutex
	token         string
	readAt        time.Time
	noCheckBefore time.Time
}

// Get returns the token, at most a minute old.
func (p *PageToken) Get(ctx context.Context) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.readAt) >= cacheFor {
		if err := p.readAgain(ctx); err != nil {
			return "", err
		}
	}
	return p.token, nil
}

// GetOtherThan returns another token than the one that Graph refused, or "" where there is none.
func (p *PageToken) GetOtherThan(ctx context.Context, refused string) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.readAgain(ctx); err != nil {
		return "", err
	}
	if p.token == refused && time.Now().After(p.noCheckBefore) {
		p.noCheckBefore = time.Now().Add(p.askForCheck(ctx))
		if err := p.readAgain(ctx); err != nil {
			return "", err
		}
	}
	if p.token == refused {
		return "", nil
	}
	return p.token, nil
}

func (p *PageToken) readAgain(ctx context.Context) error {
	token, err := p.read(ctx)
	if err == nil {
		p.token, p.readAt = token, time.Now()
	}
	return err
}

// payload is what page-token-sync stores by default.
type payload struct {
	AccessToken string `json:"access_token"`
}

// readFromVault reads the token from the secret's newest version in Vault or OpenBao.
func readFromVault(ctx context.Context) (string, error) {
	url := fmt.Sprintf("%s/v1/%s/data/%s",
		os.Getenv("VAULT_ADDR"), cmp.Or(os.Getenv("VAULT_MOUNT"), "secret"), os.Getenv("VAULT_PATH"))
	var found struct {
		Data struct {
			Data payload `json:"data"`
		} `json:"data"`
	}
	status, err := request(ctx, 10*time.Second, http.MethodGet, url, "X-Vault-Token", os.Getenv("VAULT_TOKEN"), &found)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("vault answered %d", status)
	}
	return found.Data.Data.AccessToken, err
}

// readFromAWS returns what reads the token from the secret's current version in AWS Secrets Manager.
func readFromAWS(ctx context.Context) (func(context.Context) (string, error), error) {
	settings, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	client, id := secretsmanager.NewFromConfig(settings), os.Getenv("AWS_SECRET_ID")
	return func(ctx context.Context) (string, error) {
		found, err := client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &id})
		if err != nil {
			return "", err
		}
		var stored payload
		err = json.Unmarshal([]byte(*found.SecretString), &stored)
		return stored.AccessToken, err
	}, nil
}

// askForCheck asks page-token-sync to check this Page's secret now, and returns after how long it may be asked again.
func askForCheck(ctx context.Context) time.Duration {
	url := fmt.Sprintf("%s/v1/pages/%s/check", os.Getenv("CHECK_URL"), os.Getenv("PAGE"))
	var answer struct {
		RetryAfter int `json:"retry_after"`
	}
	// Where it fails, the daemon finds the invalid token in its next cycle.
	_, _ = request(ctx, 12*time.Second, http.MethodPost, url, "Authorization", "Bearer "+os.Getenv("CHECK_TOKEN"), &answer)
	return time.Duration(cmp.Or(answer.RetryAfter, 60)) * time.Second
}

type graphAnswer struct {
	body map[string]any
	code int
}

// callGraph returns Graph's answer; after error 190 the call is repeated once, with another token.
func callGraph(ctx context.Context, path string, pageToken *PageToken) (map[string]any, error) {
	token, err := pageToken.Get(ctx)
	if err != nil {
		return nil, err
	}
	answer, err := get(ctx, path, token)
	if err == nil && answer.code == 190 {
		other, readErr := pageToken.GetOtherThan(ctx, token)
		if readErr != nil {
			return nil, readErr
		}
		if other != "" {
			answer, err = get(ctx, path, other)
		}
	}
	if err == nil && answer.code != 0 {
		err = &GraphError{answer.code}
	}
	return answer.body, err
}

func get(ctx context.Context, path, token string) (answer graphAnswer, err error) {
	// In a header, and not in the URL, where proxies would log it.
	_, err = request(ctx, 30*time.Second, http.MethodGet, graph+"/"+path, "Authorization", "Bearer "+token, &answer.body)
	if refusal, ok := answer.body["error"].(map[string]any); ok {
		code, _ := refusal["code"].(float64)
		answer.code = int(code)
	}
	return answer, err
}

func request(ctx context.Context, timeout time.Duration, method, url, header, value string, into any) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	call, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return 0, err
	}
	call.Header.Set(header, value)
	answer, err := http.DefaultClient.Do(call)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	return answer.StatusCode, json.NewDecoder(answer.Body).Decode(into)
}

func main() {
	ctx := context.Background()
	pageToken := &PageToken{read: readFromVault, askForCheck: askForCheck}
	if os.Getenv("AWS_SECRET_ID") != "" {
		read, err := readFromAWS(ctx)
		if err != nil {
			log.Fatal(err)
		}
		pageToken.read = read
	}
	lines, output := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	for lines.Scan() {
		body, err := callGraph(ctx, lines.Text(), pageToken)
		result := map[string]any{"answer": body}
		var refusal *GraphError
		if errors.As(err, &refusal) {
			result = map[string]any{"error": refusal.Code, "advice": refusal.Error()}
		} else if err != nil {
			log.Fatal(err)
		}
		if err := output.Encode(result); err != nil {
			log.Fatal(err)
		}
	}
}
