# Writes values.csv: what mice, mitml, mitools and survival make of the imputations stored beside it.
# Run from the repository root: Rscript tests/reference/pooling/generate.R
#
# The imputations are mice's own: nhanes2 with m = 5 and 20, MASS::quine with holes and m = 8,
# survival::lung with m = 10. Only the completed blocks are kept, so the analyses can be redone
# anywhere. Likelihoods are maximised to the last digit, lest tolerances of algorithms differ.
suppressPackageStartupMessages({library(mice); library(mitml); library(mitools); library(survival)})
folder <- "tests/reference/pooling"
rows <- list()
note <- function(case, model, quantity, term, value) {
  rows[[length(rows) + 1]] <<- data.frame(case, model, quantity, term = as.character(term),
                                          value = sapply(value, format, digits = 17))
}
blocks <- function(case, factors) {
  d <- read.csv(file.path(folder, paste0(case, ".csv")), stringsAsFactors = FALSE)
  for (f in names(factors)) d[[f]] <- factor(d[[f]], levels = factors[[f]])
  split(d, d$.imp)
}
exact <- list(epsilon = 1e-14, maxit = 100)
exact_glm <- function(formula, data, family)
  do.call(glm, c(list(formula = formula, data = data, family = family), exact))
# R computes a covariance from the weights of the step before the last: one more step, from the end.
one_more_step <- function(fit)
  do.call(glm, c(list(formula = formula(fit), data = fit$data, family = fit$family,
                      start = coef(fit)), exact))
fitted <- function(data, fit) {
  fits <- lapply(data, fit)
  if (inherits(fits[[1]], "glm")) refined <- lapply(fits, one_more_step) else refined <- fits
  list(fits = refined, mira = as.mira(refined), result = as.mitml.result(refined),
       plain = as.mitml.result(fits), plain_mira = as.mira(fits), data = data)
}
estimates <- function(case, model, f) {
  ways <- list(pool = pool(f$mira), pool_inf = pool(f$mira, dfcom = Inf),
               pool_30 = pool(f$mira, dfcom = 30),
               reiter2003 = pool(f$mira, rule = "reiter2003"))
  for (way in names(ways)) {
    s <- summary(ways[[way]], type = "all", conf.int = way != "reiter2003")
    names(s)[names(s) %in% c("2.5 %", "97.5 %")] <- c("conf_low", "conf_high")
    for (q in setdiff(names(s), c("term", "m"))) if (!all(is.na(s[[q]])))
      note(case, model, paste0(way, ":", q), s$term, s[[q]])
  }
  v <- vcov(MIcombine(f$fits))
  for (i in rownames(v)) for (j in colnames(v))
    note(case, model, "MIcombine:vcov", paste(i, j, sep = "|"), v[i, j])
}
test_values <- function(case, name, quantity, x) {
  for (i in 1:5) note(case, name, quantity, c("statistic", "df1", "df2", "p_value", "riv")[i], x[i])
}
comparisons <- function(case, name, f1, f0, dfcom, d3 = TRUE) {
  a <- f1$result; b <- f0$result
  test_values(case, name, "D1", testModels(a, b, "D1", df.com = dfcom)$test)
  test_values(case, name, "D1_inf", testModels(a, b, "D1")$test)
  test_values(case, name, "D2_wald", testModels(a, b, "D2", use = "wald")$test)
  test_values(case, name, "D2_likelihood", testModels(a, b, "D2", use = "likelihood")$test)
  if (d3) {
    test_values(case, name, "D1_all", D1(f1$plain_mira)$result)
    test_values(case, name, "D3_refitted", D3(f1$plain_mira, f0$plain_mira)$result)
  }
  if (inherits(f1$fits[[1]], "lm") && !inherits(f1$fits[[1]], "glm"))
    test_values(case, name, "D3_pooled", testModels(a, b, "D3")$test)
  for (way in c("default", "robust"))
    test_values(case, name, paste0("D4_", way),
                testModels(f1$plain, f0$plain, "D4", ariv = way, data = f1$data)$test)
}
constraints <- function(case, model, f, text, dfcom, label) {
  for (method in c("D1", "D2")) {
    x <- try(testConstraints(f$result, constraints = text, method = method), silent = TRUE)
    if (!inherits(x, "try-error")) test_values(case, model, paste0(method, "_inf:", label), x$test)
  }
  x <- testConstraints(f$result, constraints = text, method = "D1", df.com = dfcom)
  test_values(case, model, paste0("D1:", label), x$test)
}
r_squared <- function(case, model, f) {
  for (adjusted in c(FALSE, TRUE)) {
    x <- suppressWarnings(pool.r.squared(f$mira, adjusted = adjusted))
    for (i in 1:4) note(case, model, if (adjusted) "adj_r_squared" else "r_squared",
                        c("estimate", "conf_low", "conf_high", "fmi")[i], x[i])
  }
}
for (case in c("nhanes2_m5", "nhanes2_m20")) {
  d <- blocks(case, list(age = c("20-39", "40-59", "60-99"), hyp = c("no", "yes")))
  lm1 <- fitted(d, function(x) lm(chl ~ age + bmi, x))
  lm0 <- fitted(d, function(x) lm(chl ~ bmi, x))
  estimates(case, "lm_full", lm1); estimates(case, "lm_null", lm0)
  comparisons(case, "lm_age", lm1, lm0, 21)
  constraints(case, "lm_full", lm1, "bmi", 21, "bmi")
  constraints(case, "lm_full", lm1, c("`age40-59` - `age60-99`", "bmi*2 - 1"), 21, "linear")
  r_squared(case, "lm_full", lm1)
  gl1 <- fitted(d, function(x) exact_glm(hyp ~ bmi + chl, x, binomial()))
  gl0 <- fitted(d, function(x) exact_glm(hyp ~ chl, x, binomial()))
  estimates(case, "logit_full", gl1)
  comparisons(case, "logit_bmi", gl1, gl0, 22)
  constraints(case, "logit_full", gl1, c("exp(bmi) - 1", "bmi*chl"), 22, "smooth")
}
d <- blocks("quine_m8", list(Eth = c("A", "N"), Sex = c("F", "M"), Lrn = c("AL", "SL"),
                             Age = c("F0", "F1", "F2", "F3")))
p1 <- fitted(d, function(x) exact_glm(Days ~ Eth + Sex + Age + Lrn, x, poisson()))
p0 <- fitted(d, function(x) exact_glm(Days ~ Eth + Sex, x, poisson()))
estimates("quine_m8", "pois_full", p1)
comparisons("quine_m8", "pois_age_lrn", p1, p0, 139)
d <- blocks("lung_m10", list(sex = c("male", "female")))
exact_cox <- coxph.control(eps = 1e-13, iter.max = 100)
for (ties in c("efron", "breslow")) {
  c1 <- fitted(d, function(x) coxph(Surv(time, event) ~ age + sex + ph.karno + wt.loss, x,
                                    ties = ties, control = exact_cox, model = TRUE))
  c0 <- fitted(d, function(x) coxph(Surv(time, event) ~ age + sex, x, ties = ties,
                                    control = exact_cox, model = TRUE))
  estimates("lung_m10", paste0("cox_", ties), c1)
  comparisons("lung_m10", paste0("cox_", ties), c1, c0, 161, d3 = FALSE)
}
for (i in seq_along(d)) {
  x <- concordance(Surv(time, event) ~ ph.karno, d[[i]])
  note("lung_m10", "concordance", "index", i, x$concordance)
  note("lung_m10", "concordance", "variance", i, x$var)
  x <- summary(survfit(Surv(time, event) ~ 1, d[[i]]), times = c(100, 365))
  note("lung_m10", "kaplan_meier", "survival", paste(i, x$time), x$surv)
  note("lung_m10", "kaplan_meier", "variance", paste(i, x$time), x$std.err^2)
}
out <- file(file.path(folder, "values.csv"), "w")
writeLines(c(sprintf("# mice %s, mitml %s, mitools %s, survival %s, %s", packageVersion("mice"),
                     packageVersion("mitml"), packageVersion("mitools"), packageVersion("survival"),
                     R.version.string), "# written by generate.R; do not edit"), out)
write.csv(do.call(rbind, rows), out, row.names = FALSE, quote = FALSE)
close(out)
